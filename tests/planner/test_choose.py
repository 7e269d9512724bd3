"""What is chosen for a machine: quant, split, context, threads, load mode; and how a refusal reads."""

from dataclasses import replace

import pytest

from domain.errors import DoesNotFitError, UnknownModelError
from domain.launches.plan import HOST, LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Hardware
from domain.models.model import Chat
from domain.units import GIB
from planner.choose.choose import plan
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.estimate import estimate
from planner.machine.calibration import Calibration
from tests.planner import build

LLAMA = build.candidates("llama-3.1-8b", "F16", "Q8_0", "Q4_K_M")
QWEN_32B = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
MOE = build.candidates("qwen3-30b-a3b", "Q8_0", "Q4_K_M")
OSS = build.candidates("gpt-oss-120b", "MXFP4")
TINY = build.candidates("qwen3-0.6b", "F16", "Q8_0")


def flags_of(chosen: Plan) -> LlamaFlags:
    assert isinstance(chosen.flags, LlamaFlags)
    return chosen.flags


@pytest.mark.parametrize(
    ("models", "machine", "quant", "gpu_layers", "on_cpu"),
    [
        pytest.param(
            LLAMA, build.CARD_24, "Q8_0", ALL_LAYERS, False, id="8B: whole, near lossless, on a 24 GiB card"
        ),
        pytest.param(
            QWEN_32B, build.CARD_24, "Q4_K_M", ALL_LAYERS, False, id="32B: the quant that a 24 GiB card holds"
        ),
        pytest.param(
            QWEN_32B,
            build.TWO_3090,
            "Q4_K_M",
            ALL_LAYERS,
            False,
            id="32B: two cards hold twice the bits, at half the speed",
        ),
        pytest.param(
            QWEN_32B,
            build.GB10,
            "Q4_K_M",
            ALL_LAYERS,
            False,
            id="32B: a GB10 has room, its bandwidth decides",
        ),
        pytest.param(
            MOE, build.CARD_9, "Q4_K_M", ALL_LAYERS, True, id="MoE: dense part on 9 GiB, experts in RAM"
        ),
        pytest.param(
            OSS, build.CARD_24, "MXFP4", ALL_LAYERS, True, id="120B: experts in RAM beside a 24 GiB card"
        ),
        pytest.param(OSS, build.GB10, "MXFP4", ALL_LAYERS, False, id="120B: all in the pool of a GB10"),
        pytest.param(
            OSS, build.STRIX_HALO, "MXFP4", ALL_LAYERS, False, id="120B: all in the pool of a Strix Halo"
        ),
        pytest.param(LLAMA, build.N100, "Q4_K_M", 0, True, id="8B: an N100 runs the smallest"),
        pytest.param(TINY, build.SMALL_CPU, "Q8_0", 0, True, id="0.6B: two cores run it near lossless"),
    ],
)
def test_picks_quant_and_split(
    models: tuple[object, ...], machine: Hardware, quant: str, gpu_layers: int, on_cpu: bool
) -> None:
    chosen = plan("a model", models, machine, LaunchOptions())  # type: ignore[arg-type]
    flags = flags_of(chosen)
    assert (chosen.weights.quant, flags.gpu_layers) == (quant, gpu_layers)
    assert bool(flags.n_cpu_moe or not flags.gpu_layers) is on_cpu
    assert chosen.fits
    assert all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in chosen.memory)


@pytest.mark.parametrize(
    "machine", [build.CARD_24, build.CARD_9, build.TWO_3090, build.UNEQUAL, build.GB10, build.SMALL_CPU]
)
def test_the_figures_of_a_plan_are_those_of_its_command(machine: Hardware) -> None:
    chosen = plan("a model", MOE, machine, LaunchOptions())
    again = estimate(
        next(model.shape for model in MOE if model.weights is chosen.weights), flags_of(chosen), machine
    )
    assert (again.memory, again.speed) == (chosen.memory, chosen.speed)


def test_every_flag_that_the_engine_would_fit_is_said() -> None:
    flags = flags_of(plan("a model", LLAMA, build.CARD_24, LaunchOptions()))
    assert flags.fit is False
    values = (flags.gpu_layers, flags.context_tokens, flags.parallel, flags.threads, flags.threads_batch)
    assert None not in (
        *values,
        flags.cache_ram_mib,
        flags.ctx_checkpoints,
        flags.load_mode,
        flags.kv_unified,
    )


def test_the_faster_of_two_unequal_gpus_is_filled_first() -> None:
    chosen = plan("a model", QWEN_32B, build.UNEQUAL, LaunchOptions(quality="Q8_0"))
    fast, slow = chosen.memory[0], chosen.memory[1]
    assert fast.weights_bytes > slow.weights_bytes > 0
    assert fast.free_bytes is not None
    assert fast.needed_bytes > 0.9 * fast.free_bytes


def test_equal_gpus_share_evenly() -> None:
    chosen = plan("a model", QWEN_32B, build.TWO_3090, LaunchOptions(quality="Q8_0"))
    first, second = (row.needed_bytes for row in chosen.memory[:2])
    assert abs(first - second) < 0.1 * first


def test_one_gpu_is_enough_for_what_it_holds() -> None:
    chosen = plan("a model", LLAMA, build.TWO_3090, LaunchOptions())
    assert [row.device for row in chosen.memory] == ["GPU0", HOST]


def test_a_display_costs_its_gpu_some_room() -> None:
    """Windows come and go while a model stays."""
    machine = build.hardware(build.gpu(24, display=True))
    gpu = plan("a model", OSS, machine, LaunchOptions()).memory[0]
    assert gpu.free_bytes is not None
    assert gpu.free_bytes - gpu.needed_bytes >= 1.5 * GIB
    tight = [
        plan("a model", QWEN_32B, own_machine, LaunchOptions()).memory[0].weights_bytes
        for own_machine in (build.hardware(build.gpu(16)), build.hardware(build.gpu(16, display=True)))
    ]
    assert tight[0] > tight[1]


def test_unified_memory_is_one_pool() -> None:
    chosen = plan("a model", OSS, build.GB10, LaunchOptions())
    gpu, host = chosen.memory
    assert gpu.free_bytes is not None
    assert host.free_bytes == gpu.free_bytes - gpu.needed_bytes
    assert flags_of(chosen).load_mode == "none"


def test_a_gpu_of_unknown_size_is_not_used_and_that_is_said() -> None:
    machine = build.hardware(build.gpu(None))
    chosen = plan("a model", LLAMA, machine, LaunchOptions())
    assert flags_of(chosen).gpu_layers == 0
    assert any("GPU0 is not used" in reason for reason in chosen.reasons)


def test_a_gpu_that_sleeps_and_is_of_unknown_size_is_the_first_thing_said() -> None:
    asleep = replace(build.gpu(24), memory_total_bytes=None, memory_free_bytes=None, asleep=True)
    chosen = plan("a model", LLAMA, build.hardware(asleep), LaunchOptions())
    (note,) = chosen.notes
    assert "sleeps, and its memory is unknown: it is left out. node-ctl launch wakes it" in note
    assert plan("a model", LLAMA, build.hardware(build.gpu(24)), LaunchOptions()).notes == ()
    with pytest.raises(DoesNotFitError) as refused:
        plan("a model", LLAMA, build.hardware(asleep, ram_gib=3), LaunchOptions())
    assert "node-ctl launch wakes it" in refused.value.hint


def test_unknown_bandwidth_gives_a_plan_without_a_speed() -> None:
    machine = build.hardware(gb_per_s=None)
    chosen = plan("a model", LLAMA, machine, LaunchOptions())
    assert chosen.speed.decode_tokens_per_s is None
    assert "speed unknown" in chosen.reasons[0]


@pytest.mark.parametrize(
    ("machine", "options", "calibration", "threads"),
    [
        pytest.param(build.hardware(cores=8), LaunchOptions(), Calibration(), 8, id="one for each core"),
        pytest.param(
            build.hardware(cores=8, quota_cpus=1.5),
            LaunchOptions(),
            Calibration(),
            1,
            id="a quota of 1.5 CPUs is one",
        ),
        pytest.param(
            build.hardware(cores=8),
            LaunchOptions(),
            Calibration(threads=5),
            5,
            id="what was measured the fastest",
        ),
        pytest.param(
            build.hardware(cores=8),
            LaunchOptions(threads=3),
            Calibration(threads=5),
            3,
            id="what the owner asks for",
        ),
        pytest.param(build.CARD_24, LaunchOptions(), Calibration(), 4, id="few where the GPU does the work"),
    ],
)
def test_threads(machine: Hardware, options: LaunchOptions, calibration: Calibration, threads: int) -> None:
    assert flags_of(plan("a model", TINY, machine, options, calibration=calibration)).threads == threads


def test_performance_cores_bound_the_threads() -> None:
    machine = build.hardware(cores=14)
    machine = replace(machine, cpu=replace(machine.cpu, performance_cores=6))
    assert flags_of(plan("a model", TINY, machine, LaunchOptions())).threads == 6


def test_a_wish_for_context_and_slots_is_kept() -> None:
    chosen = plan("a model", LLAMA, build.CARD_24, LaunchOptions(context_tokens=8192, parallel=4))
    flags = flags_of(chosen)
    assert (chosen.context_tokens, chosen.parallel, flags.context_tokens) == (8192, 4, 16384)
    assert (flags.kv_unified, chosen.pool_tokens, chosen.guaranteed_tokens) == (True, 16384, 4096)


def test_less_context_is_chosen_only_where_none_was_asked_for() -> None:
    machine = build.hardware(ram_gib=8, available_gib=7.2)
    chosen = plan("a model", build.candidates("llama-3.1-8b", "Q4_K_M"), machine, LaunchOptions())
    assert chosen.context_tokens < 32768
    why = "less than 32768, which does not fit with this placement"
    assert any(why in reason for reason in chosen.reasons)
    with pytest.raises(DoesNotFitError) as refused:
        plan(
            "a model",
            build.candidates("llama-3.1-8b", "Q4_K_M"),
            machine,
            LaunchOptions(context_tokens=131072),
        )
    assert "--context" in refused.value.hint


def test_a_refusal_has_the_numbers_and_what_would_help() -> None:
    with pytest.raises(DoesNotFitError) as refused:
        plan("gpt-oss-120b", OSS, build.SMALL_CPU, LaunchOptions())
    error = refused.value
    assert error.needs_bytes > 59 * GIB
    assert 20 * GIB < error.has_bytes < 22 * GIB
    assert f"{error.needs_bytes / GIB:.1f} GiB" in str(error)
    assert "MXFP4 59.0 GiB" in error.hint


def test_a_cgroup_bounds_the_host() -> None:
    machine = build.hardware(ram_gib=64, cgroup_gib=4)
    with pytest.raises(DoesNotFitError) as refused:
        plan(
            "a model", build.candidates("llama-3.1-8b", "Q4_K_M"), machine, LaunchOptions(context_tokens=4096)
        )
    assert refused.value.has_bytes == 3 * GIB


def test_weights_are_locked_only_where_it_is_allowed_and_ram_has_room() -> None:
    modes = [
        flags_of(plan("a model", TINY, machine, LaunchOptions())).load_mode
        for machine in (build.hardware(memlock=True), build.hardware(memlock=False))
    ]
    assert modes == ["mmap+mlock", "mmap"]


def test_a_slow_best_quant_yields_to_a_quick_one() -> None:
    slow = plan("a model", LLAMA, build.CARD_24, LaunchOptions(min_decode_tokens_per_s=100))
    assert slow.weights.quant == "Q4_K_M"
    assert slow.speed.decode_tokens_per_s is not None
    assert slow.speed.decode_tokens_per_s.expected > 100


def test_alternatives_name_their_price() -> None:
    chosen = plan("a model", QWEN_32B, build.CARD_24, LaunchOptions())
    assert 1 <= len(chosen.alternatives) <= 3
    assert all(alternative.why_not for alternative in chosen.alternatives)
    assert any(alternative.needed_bytes for alternative in chosen.alternatives)


def test_the_prompt_cache_leaves_room() -> None:
    chosen = plan("a model", LLAMA, build.hardware(ram_gib=16), LaunchOptions())
    cache = flags_of(chosen).cache_ram_mib
    assert cache is not None
    assert 0 < cache < 8192


def test_quality_by_name_or_by_word() -> None:
    assert plan("a model", LLAMA, build.CARD_24, LaunchOptions(quality="q4_k_m")).weights.quant == "Q4_K_M"
    assert plan("a model", LLAMA, build.CARD_24, LaunchOptions(quality="high")).weights.quant == "Q8_0"
    with pytest.raises(UnknownModelError, match="there is no quant IQ1_S"):
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(quality="IQ1_S"))


def test_nothing_to_choose_from_is_said() -> None:
    with pytest.raises(UnknownModelError):
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(engine="vllm"))


def test_memory_kind_decides_not_the_name() -> None:
    unknown = build.hardware(replace(build.gpu(24), memory_kind=None))
    assert flags_of(plan("a model", LLAMA, unknown, LaunchOptions())).gpu_layers == ALL_LAYERS


def test_what_the_catalogue_says_of_chats_reaches_the_flags() -> None:
    chatty = replace(TINY[0], chat=Chat(jinja=False, reasoning_format="auto"))
    flags = flags_of(plan("m", (chatty,), build.CARD_24, LaunchOptions()))
    assert (flags.jinja, flags.reasoning_format) == (False, "auto")
    plain = flags_of(plan("m", TINY[:1], build.CARD_24, LaunchOptions()))
    assert (plain.jinja, plain.reasoning_format) == (True, None)
