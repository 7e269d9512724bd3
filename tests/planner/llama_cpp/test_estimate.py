"""Single rules of an estimate: placement, caches, what the host holds, pools, builds, speed unknown."""

import re
from dataclasses import replace

import pytest

from domain.errors import BadModelError, UsageError
from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Hardware, InstalledEngine
from domain.models.model import ModelShape
from domain.units import GIB, MIB
from launchers.llama_cpp.parsing import parse
from planner.llama_cpp.context_params import EngineTool
from planner.llama_cpp.estimate import estimate
from planner.machine.devices import llama_cpp_build
from tests.planner import build

NEVER_ENDING = "^((.+)+)+!"  # for what looks at every way to divide a name
LLAMA = build.shape("llama-3.1-8b", "Q4_K_M")
MOE = build.shape("qwen3-30b-a3b", "Q4_K_M")
ONE, TWO = build.assumed_gpus(1), build.assumed_gpus(2)


def rows(shape: ModelShape, args: str, machine: Hardware) -> dict[str, DeviceMemory]:
    return {row.device: row for row in estimate(shape, parse(args.split()), machine).memory}


@pytest.mark.parametrize(
    ("args", "on_gpu"),
    [
        pytest.param("-ngl 0", False, id="no layer"),
        pytest.param("-ngl 999 -ot .*=CPU", False, id="an override sends all to the host"),
        pytest.param("-ngl 999 -dev none", False, id="no device at all"),
        pytest.param("-ngl 999", True, id="all layers"),
    ],
)
def test_weights_stand_where_the_line_says(args: str, on_gpu: bool) -> None:
    estimated = rows(LLAMA, f"{args} -c 4096 -np 1", ONE)
    weights = estimated["GPU0"].weights_bytes if "GPU0" in estimated else 0
    assert (weights > 0) is on_gpu


def test_an_override_moves_what_it_names() -> None:
    plain = rows(LLAMA, "-ngl 999 -c 4096 -np 1", ONE)
    moved = rows(LLAMA, r"-ngl 999 -c 4096 -np 1 -ot blk\.(0|1)\.ffn_.*=CPU", ONE)
    assert (
        0
        < plain["GPU0"].weights_bytes - moved["GPU0"].weights_bytes
        == (moved[HOST].weights_bytes - plain[HOST].weights_bytes)
    )


def test_an_override_that_would_take_for_ever_is_looked_up_at_once() -> None:
    plain = rows(LLAMA, "-ngl 999 -c 4096 -np 1", ONE)
    assert rows(LLAMA, f"-ngl 999 -c 4096 -np 1 -ot {NEVER_ENDING}=CPU", ONE) == plain


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        pytest.param("blk.(0", "missing )", id="no pattern"),
        pytest.param("(?!blk).*", "invalid perl operator", id="look-ahead"),
        pytest.param(r"(a)\1", "invalid escape sequence", id="back-reference"),
        pytest.param("((a{999}){999}){999}", "repetition", id="too large"),
    ],
)
def test_an_override_that_can_not_be_matched_in_linear_time_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"-ot {pattern}: ")) as caught:
        rows(LLAMA, f"-ngl 999 -c 4096 -np 1 -ot {pattern}=CPU", ONE)
    assert why in str(caught.value)
    assert "linear time" in caught.value.hint


def test_all_experts_on_the_cpu_are_the_experts_of_all_layers() -> None:
    two = [rows(MOE, f"-ngl 999 -c 4096 -np 1 {flag}", ONE) for flag in ("--cpu-moe", "--n-cpu-moe 48")]
    assert two[0]["GPU0"].weights_bytes == two[1]["GPU0"].weights_bytes
    assert two[0]["GPU0"].weights_bytes < 0.1 * two[0][HOST].weights_bytes


def test_one_gpu_only_with_split_mode_none() -> None:
    estimated = rows(LLAMA, "-ngl 999 -c 4096 -np 1 -sm none -mg 1", TWO)
    assert list(estimated) == ["GPU1", HOST]


def test_no_gpu_with_split_mode_none_and_a_negative_main_gpu() -> None:
    assert list(rows(LLAMA, "-ngl 999 -c 4096 -np 1 -sm none -mg -1", TWO)) == [HOST]


def test_a_ubatch_of_zero_is_as_large_as_the_batch() -> None:
    zero, default, large = (
        rows(LLAMA, f"-ngl 999 -c 4096 -np 1 {more}", ONE) for more in ("-ub 0", "", "-ub 2048")
    )
    assert zero == large
    assert zero["GPU0"].compute_bytes > default["GPU0"].compute_bytes


def test_without_kv_offload_the_cache_is_on_the_host() -> None:
    estimated = rows(LLAMA, "-ngl 999 -c 4096 -np 1 -nkvo", ONE)
    assert (estimated["GPU0"].kv_cache_bytes, estimated[HOST].kv_cache_bytes) == (0, 512 * MIB)


def test_a_full_window_cache_costs_what_full_attention_does() -> None:
    gemma = build.shape("gemma-3-12b", "Q4_K_M")
    window, full = (
        rows(gemma, f"-ngl 999 -c 32768 -np 1 {flag}", ONE)["GPU0"].kv_cache_bytes
        for flag in ("", "--swa-full")
    )
    assert full > 4 * window


def test_four_slots_share_one_cache_where_nothing_is_said() -> None:
    shared = rows(LLAMA, "-c 32768", ONE)
    single = rows(LLAMA, "-c 32768 -np 1", ONE)
    assert sum(row.kv_cache_bytes for row in shared.values()) == sum(
        row.kv_cache_bytes for row in single.values()
    )


def test_the_prompt_cache_is_in_the_budget_of_the_host() -> None:
    limits = ("-cram 0", "-cram 1024", "")
    estimated = [
        rows(LLAMA, f"-c 4096 -np 1 {limit}", build.SMALL_CPU)[HOST].overhead_bytes for limit in limits
    ]
    assert [more - estimated[0] for more in estimated] == [0, 1 * GIB, 8 * GIB]


def test_checkpoints_count_where_a_cache_cannot_be_rolled_back() -> None:
    gemma = build.shape("gemma-3-12b", "Q4_K_M")
    two = [
        rows(gemma, f"-c 65536 -np 2 -cram 0 -ctxcp {count}", ONE)[HOST].overhead_bytes for count in (0, 8)
    ]
    assert two[1] - two[0] > 1 * GIB
    unchanged = [
        rows(LLAMA, f"-c 65536 -np 2 -cram 0 -ctxcp {count}", ONE)[HOST].overhead_bytes for count in (0, 8)
    ]
    assert unchanged[0] == unchanged[1]


def test_a_tied_embedding_counts_on_both_sides() -> None:
    tiny = build.shape("qwen3-0.6b", "F16")
    estimated = rows(tiny, "-ngl 999 -c 4096 -np 1", ONE)
    embedding = next(tensor for tensor in tiny.tensors if tensor.name == "token_embd.weight")
    assert estimated[HOST].weights_bytes == embedding.size_bytes
    assert estimated["GPU0"].weights_bytes + estimated[HOST].weights_bytes == embedding.size_bytes + sum(
        tensor.size_bytes for tensor in tiny.tensors
    )


def test_experts_that_a_gpu_pulls_over_need_room_there() -> None:
    args = "-ngl 999 -c 4096 -np 1 --cpu-moe"
    pulled = rows(MOE, args, build.CARD_24)["GPU0"].compute_bytes
    left = rows(MOE, args, ONE)["GPU0"].compute_bytes
    expert = max(tensor.size_bytes for tensor in MOE.tensors if "_exps" in tensor.name)
    assert pulled - left > 0.5 * expert


def test_fits_says_which_device_overflows() -> None:
    estimated = estimate(MOE, parse(["-ngl", "999", "-c", "4096", "-np", "1"]), build.CARD_9)
    assert not estimated.fits
    assert any(note.startswith("GPU0 needs 18.") for note in estimated.notes)


def test_unknown_sizes_do_not_make_a_plan_unfit() -> None:
    assert estimate(MOE, parse(["-ngl", "999", "-c", "4096", "-np", "1"]), ONE).fits


def test_an_unknown_architecture_is_said() -> None:
    other = replace(
        LLAMA,
        architecture="unheard-of",
        metadata={key.replace("llama.", "unheard-of."): value for key, value in LLAMA.metadata.items()},
    )
    estimated = estimate(other, parse(["-c", "4096"]), ONE)
    assert any("unheard-of" in note for note in estimated.notes)
    assert sum(row.weights_bytes for row in estimated.memory) > 4 * GIB


def test_a_header_without_layers_is_refused() -> None:
    broken = replace(LLAMA, metadata={**LLAMA.metadata, "llama.block_count": "many"})
    with pytest.raises(BadModelError, match="block_count"):
        estimate(broken, parse(["-c", "4096"]), ONE)


@pytest.mark.parametrize(
    ("architecture", "key", "value"),
    [
        pytest.param("llama", "attention.key_length", 0, id="no width of heads"),
        pytest.param("falcon-h1", "ssm.time_step_rank", 0, id="no heads of a state"),
        pytest.param("exaone-moe", "expert_used_count", 0, id="no expert is used"),
        pytest.param("mamba2", "ssm.group_count", 0, id="no groups of a state"),
    ],
)
def test_zeros_in_a_header_leave_an_estimate(architecture: str, key: str, value: int) -> None:
    shapes = (build.published(name) for name in build.architectures()["models"])
    known = next(shape for shape in shapes if shape.architecture == architecture)
    broken = replace(known, metadata={**known.metadata, f"{architecture}.{key}": value})
    estimated = estimate(broken, parse(["-c", "4096", "-ctk", "q8_0", "-np", "1024"]), ONE)
    assert sum(row.weights_bytes for row in estimated.memory) > 0


@pytest.mark.parametrize(
    ("version", "build_number"),
    [("b11434", 11434), ("0.10434.0", 10434), ("version: 9821 (abc)", 9821), ("dev", None)],
)
def test_build_numbers_are_read_from_versions(version: str, build_number: int | None) -> None:
    assert llama_cpp_build(Hardware(engines=(InstalledEngine("llama.cpp", "/x", version),))) == build_number


def test_no_bandwidth_no_speed() -> None:
    blind = build.hardware(gb_per_s=None)
    estimated = estimate(LLAMA, parse(["-c", "4096"]), blind).speed
    assert estimated.decode_tokens_per_s is None
    predicted = estimate(LLAMA, parse(["-c", "4096"]), build.SMALL_CPU).speed.decode_tokens_per_s
    assert predicted is not None
    assert predicted.low < predicted.expected < predicted.high


def test_the_prompt_cache_and_checkpoints_are_told_in_words() -> None:
    windows = build.shape("gemma-3-12b", "Q4_K_M")
    notes = estimate(windows, parse(["-c", "16384", "-np", "1"]), TWO).notes
    assert any("8.0 GiB of the host's overhead are the prompt cache" in note for note in notes)
    assert any("context checkpoints" in note for note in notes)
    args = ["-c", "16384", "-np", "1", "--cache-ram", "0", "--ctx-checkpoints", "0"]
    assert not any("overhead" in note for note in estimate(windows, parse(args), TWO).notes)


def test_auto_flash_attention_ends_where_a_hybrids_states_stand_on_the_host() -> None:
    hybrid = build.published("granite-4-h-micro")
    args = "-ngl 999 -c 16384 -np 1 -nkvo"
    auto, on = (rows(hybrid, f"{args} -fa {word}", ONE)["host"].compute_bytes for word in ("auto", "on"))
    assert auto - on > GIB / 2


# What b11434 says of all GPUs together with -sm tensor over two RPC devices, in bytes of qwen3-8b.
TENSOR_SPLIT = DeviceMemory("all", 4671766528, 2415919104, 361512960)


@pytest.mark.parametrize("parts", ["3,2", "1,1"])
def test_a_split_of_each_matrix_is_bounded_and_said_so(parts: str) -> None:
    args = parse(f"-ngl 999 -c 16384 -np 1 -ts {parts} -sm tensor".split())
    estimated = estimate(build.published("qwen3-8b"), args, TWO, tool=EngineTool.FIT_PARAMS)
    gpus = [row for row in estimated.memory if row.device != HOST]
    assert TENSOR_SPLIT.weights_bytes <= sum(row.weights_bytes for row in gpus) <= 1.05 * 4671766528
    assert TENSOR_SPLIT.kv_cache_bytes <= sum(row.kv_cache_bytes for row in gpus) <= 1.2 * 2415919104
    assert all(row.compute_bytes == TENSOR_SPLIT.compute_bytes for row in gpus)
    assert any("-sm tensor" in note and "upper bounds" in note for note in estimated.notes)


def test_rows_that_are_split_are_not_pipelined() -> None:
    args = "-ngl 999 -c 16384 -np 1 -ts 1,1"
    shape = build.published("qwen3-8b")
    by_layers, by_rows = (rows(shape, f"{args} -sm {mode}", TWO) for mode in ("layer", "row"))
    assert by_rows["GPU0"].compute_bytes < by_layers["GPU0"].compute_bytes
    assert (
        by_rows["GPU0"].weights_bytes >= sum(row.weights_bytes for row in by_rows.values()) // 2 - 400 * MIB
    )


def test_a_full_gpu_gets_no_layers_of_the_default_split_and_an_unknown_one_its_size() -> None:
    """As ``load_tensors`` does: the split is by free memory, and 0 bytes free are not unknown."""
    first, second = (
        replace(gpu, memory_total_bytes=24 * GIB, memory_free_bytes=24 * GIB) for gpu in TWO.gpus
    )
    full = replace(TWO, gpus=(first, replace(second, memory_free_bytes=0)))
    unknown = replace(TWO, gpus=(first, replace(second, memory_free_bytes=None)))
    weights = {
        name: rows(LLAMA, "-ngl 999 -c 4096 -np 1", machine)["GPU1"].weights_bytes
        for name, machine in (("full", full), ("unknown", unknown))
    }
    output_bytes = next(tensor.size_bytes for tensor in LLAMA.tensors if tensor.name == "output.weight")
    assert weights["full"] <= 1.1 * output_bytes
    assert weights["unknown"] > 3 * weights["full"]
