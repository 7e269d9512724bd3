"""Splits over the GPUs of a machine: as much as they hold, on as few as possible, the fastest first."""

from bisect import bisect_left
from dataclasses import replace

import pytest

from domain.launches.plan import HOST, LaunchOptions, LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from planner.choose.context import SearchContext
from planner.llama_cpp import search, split_search
from planner.llama_cpp.context_params import ALL_LAYERS
from planner.llama_cpp.estimate import memory_layout
from planner.llama_cpp.split_search import ParsedModel
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.machine.gpu_budgets import gpu_budgets
from planner.model.hparams import read_hparams
from planner.model.layer_sizes import layer_sizes
from tests.planner import build

LLAMA = build.shape("llama-3.1-8b", "Q4_K_M")  # 32 layers, 4.6 GiB
QWEN = build.shape("qwen3-32b", "Q4_K_M")  # 64 layers, 18.4 GiB
MOE = build.shape("qwen3-30b-a3b", "Q4_K_M")  # 48 layers of experts


def splits(shape: ModelShape, machine: Hardware, **changes: object) -> list[LlamaFlags]:
    hparams = read_hparams(shape)
    parsed = ParsedModel(shape, hparams, layer_sizes(shape, hparams))
    context = SearchContext(machine, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)
    base = replace(search.base_flags("f16", 8192, context), **changes)  # type: ignore[arg-type]
    return list(split_search.splits(parsed, base, machine, DEFAULT_RESERVE, {}))


def overflows(shape: ModelShape, flags: LlamaFlags, machine: Hardware) -> bool:
    budgets = {budget.device.name: budget.available_bytes for budget in gpu_budgets(machine, DEFAULT_RESERVE)}
    rows = memory_layout(shape, flags, machine, hparams=read_hparams(shape)).memory
    return any(
        row.needed_bytes - row.overhead_bytes > budgets[row.device] for row in rows if row.device != HOST
    )


def cards(*sizes_and_rates: tuple[float, float | None]) -> Hardware:
    return build.hardware(
        *(
            build.gpu(size, gb_per_s=rate, name=f"{index}")
            for index, (size, rate) in enumerate(sizes_and_rates)
        )
    )


ALONE = LlamaFlags(gpu_layers=0, devices=("none",))


def test_what_one_gpu_holds_is_split_no_further_and_the_cpu_comes_last() -> None:
    found = splits(LLAMA, build.TWO_3090)
    assert [(flags.split_mode, flags.main_gpu, flags.gpu_layers, flags.n_cpu_moe) for flags in found] == [
        ("none", 0, ALL_LAYERS, None),
        (None, None, 0, None),
    ]
    assert [flags.devices for flags in found] == [(), ("none",)]
    assert [flags.tensor_split for flags in found] == [(), ()]


def test_without_a_gpu_there_is_the_cpu_and_no_word_of_devices() -> None:
    (alone,) = splits(LLAMA, build.SMALL_CPU)
    assert (alone.gpu_layers, alone.devices) == (0, ())


def test_a_gpu_too_small_for_a_layer_leaves_the_cpu() -> None:
    (alone,) = splits(QWEN, cards((1.2, 500)))
    assert (alone.gpu_layers, alone.devices) == (0, ("none",))


def test_the_fastest_gpu_comes_first_then_the_two_fastest_and_so_on() -> None:
    machine = cards((8, 300), (8, 900), (8, 600))
    found = splits(QWEN, machine)
    assert [(flags.main_gpu, flags.split_mode) for flags in found] == [
        (1, "none"),
        (None, "layer"),
        (None, "layer"),
        (None, None),
    ]
    _, two, three, _ = found
    assert two.tensor_split[0] == 0
    assert all(two.tensor_split[1:])
    assert len(three.tensor_split) == 3
    assert all(three.tensor_split)
    assert not any(overflows(QWEN, flags, machine) for flags in found)


def test_a_gpu_in_between_that_is_not_used_has_a_share_of_nothing() -> None:
    two = splits(QWEN, cards((12, 900), (12, 300), (12, 900)))[1]
    first, between, last = two.tensor_split
    assert between == 0
    assert min(first, last) > 0


def test_gpus_of_unknown_rates_are_used_the_larger_one_first() -> None:
    assert splits(LLAMA, cards((8, None), (16, None)))[0].main_gpu == 1


@pytest.mark.parametrize(("shape", "size"), [(QWEN, 10), (QWEN, 18), (LLAMA, 4)])
def test_a_gpu_gets_the_last_layers_and_not_one_more_would_fit(shape: ModelShape, size: float) -> None:
    machine = cards((size, 900))
    flags = splits(shape, machine)[0]
    blocks = len(read_hparams(shape).layers)
    assert flags.gpu_layers is not None
    assert 1 < flags.gpu_layers <= blocks
    assert not overflows(shape, flags, machine)
    assert overflows(shape, replace(flags, gpu_layers=flags.gpu_layers + 1), machine)


@pytest.mark.parametrize("size", [8, 12, 18])
def test_of_experts_as_few_layers_as_possible_are_on_the_cpu(size: float) -> None:
    machine = cards((size, 900))
    flags = splits(MOE, machine)[0]
    assert flags.gpu_layers == ALL_LAYERS
    assert flags.n_cpu_moe
    assert not overflows(MOE, flags, machine)
    assert overflows(MOE, replace(flags, n_cpu_moe=flags.n_cpu_moe - 1), machine)


def test_experts_that_a_gpu_holds_are_not_on_the_cpu() -> None:
    flags = splits(MOE, cards((24, 900)))[0]
    assert (flags.gpu_layers, flags.n_cpu_moe) == (ALL_LAYERS, None)


def test_a_gpu_too_small_for_all_that_is_no_expert_gets_the_last_layers_of_it() -> None:
    machine = cards((2.3, 900))
    flags = splits(MOE, machine)[0]
    assert flags.gpu_layers is not None
    assert 0 < flags.gpu_layers < 49
    assert flags.n_cpu_moe == 48
    assert not overflows(MOE, flags, machine)


def test_a_cache_on_the_host_leaves_more_layers_on_the_gpu() -> None:
    machine = cards((10, 900))
    with_cache, without = (splits(QWEN, machine, kv_offload=kv)[0].gpu_layers or 0 for kv in (True, False))
    assert without > with_cache


@pytest.mark.parametrize("context", [8192, 32768])
def test_alike_gpus_share_in_proportion_to_what_they_have(context: int) -> None:
    machine = cards((14, 900), (20, 880))
    flags = splits(QWEN, machine, context_tokens=context)[-2]
    assert sum(flags.tensor_split) == 65, "the output counts as a layer"
    assert flags.gpu_layers == ALL_LAYERS
    first, second = flags.tensor_split
    assert second / first == pytest.approx(19 / 13, rel=0.15)
    assert not overflows(QWEN, flags, machine)


@pytest.mark.parametrize("fast", [0, 1])
def test_of_unlike_gpus_the_fastest_is_filled_and_the_other_gets_the_rest(fast: int) -> None:
    sizes = [(16.0, 300.0), (16.0, 300.0)]
    sizes[fast] = (16.0, 900.0)
    machine = cards(*sizes)
    flags = splits(QWEN, machine)[1]
    assert sum(flags.tensor_split) == 65
    assert not overflows(QWEN, flags, machine)
    moved = list(flags.tensor_split)
    moved[fast], moved[1 - fast] = moved[fast] + 2, moved[1 - fast] - 2
    assert overflows(QWEN, replace(flags, tensor_split=tuple(moved)), machine)


@pytest.mark.parametrize(
    "machine",
    [cards((12, 900), (12, 900)), cards((14, 900), (11, 880)), cards((16, 300), (9, 900))],
    ids=["equal", "alike", "unlike"],
)
def test_whatever_context_some_split_holds_is_found(machine: Hardware) -> None:
    """Compared with every way to cut the layers in two that may hold them."""

    def is_whole(context_tokens: int) -> bool:
        return any(
            flags.gpu_layers == ALL_LAYERS for flags in splits(QWEN, machine, context_tokens=context_tokens)
        )

    def is_held(context_tokens: int) -> bool:
        base = LlamaFlags(
            ALL_LAYERS, split_mode="layer", context_tokens=context_tokens, parallel=1, kv_unified=False
        )
        ways = (replace(base, tensor_split=(float(count), 65.0 - count)) for count in range(20, 46))
        return any(not overflows(QWEN, flags, machine) for flags in ways)

    steps = range(1, 41)
    longest = bisect_left(steps, 1, key=lambda step: not is_held(1024 * step))
    assert 0 < longest < 40
    assert [is_whole(1024 * step) for step in (longest, longest + 1)] == [True, False]


def test_what_one_quant_needed_besides_weights_is_the_first_guess_for_the_next() -> None:
    hparams = read_hparams(QWEN)
    parsed = ParsedModel(QWEN, hparams, layer_sizes(QWEN, hparams))
    machine = cards((10, 900))
    context = SearchContext(machine, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)
    base = search.base_flags("f16", 8192, context)
    hints: dict[tuple[object, ...], list[int]] = {}
    first = list(split_search.splits(parsed, base, machine, DEFAULT_RESERVE, hints))
    (needed,) = hints.values()
    assert needed[0] > 0
    assert list(split_search.splits(parsed, base, machine, DEFAULT_RESERVE, hints)) == first
    assert list(hints.values()) == [needed]


@pytest.mark.parametrize("least", range(12))
def test_the_smallest_number_that_holds_is_found(least: int) -> None:
    found = split_search._smallest(lambda number: number >= least, 0, 10)
    assert found == (least if least <= 10 else None)
