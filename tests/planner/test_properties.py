"""What holds for any command line: monotone, independent of order, in agreement with itself."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from planner.llama_cpp.estimate import estimate
from tests.planner import build

TRUTH = sorted({(row["model"], row["quant"]) for row in build.truth()["rows"]})
# And a model of each architecture that the rules know, where the capture of the eight has none.
SHAPES = {
    **{f"{model} {quant}": build.shape(model, quant) for model, quant in TRUTH},
    **{name: build.published(name) for name in build.one_of_each_architecture()},
}
NAMES = sorted(SHAPES)

lines = st.builds(
    LlamaFlags,
    gpu_layers=st.integers(0, 80),
    n_cpu_moe=st.one_of(st.none(), st.integers(1, 50)),
    context_tokens=st.sampled_from([512, 4096, 10_000, 32_768]),
    parallel=st.integers(1, 4),
    kv_unified=st.booleans(),
    cache_type_k=st.sampled_from(["f16", "q8_0"]),
    flash_attention=st.just("on"),
    ubatch=st.sampled_from([128, 512]),
)
few = settings(max_examples=60, deadline=None)


def total(name: str, flags: LlamaFlags, machine: Hardware) -> int:
    return sum(row.needed_bytes for row in estimate(SHAPES[name], flags, machine).memory)


@few
@given(st.sampled_from(NAMES), lines, st.integers(0, 2))
def test_more_context_never_needs_less(name: str, flags: LlamaFlags, gpus: int) -> None:
    machine = build.assumed_gpus(gpus)
    more = replace(flags, context_tokens=2 * (flags.context_tokens or 0))
    assert total(name, more, machine) >= total(name, flags, machine)


@few
@given(st.sampled_from(NAMES), lines, st.integers(0, 2))
def test_more_slots_never_need_less(name: str, flags: LlamaFlags, gpus: int) -> None:
    """Of the same context each, in what is kept: weights and caches."""
    machine = build.assumed_gpus(gpus)
    flags = replace(flags, kv_unified=False)
    slots = flags.parallel or 1
    more = replace(flags, parallel=2 * slots, context_tokens=2 * (flags.context_tokens or 0))
    kept_bytes = [
        sum(row.weights_bytes + row.kv_cache_bytes for row in estimate(SHAPES[name], tried, machine).memory)
        for tried in (flags, more)
    ]
    assert kept_bytes[1] >= kept_bytes[0]


@few
@given(st.sampled_from(NAMES), lines)
def test_more_layers_on_a_gpu_never_need_less_there(name: str, flags: LlamaFlags) -> None:
    machine = build.assumed_gpus(1)
    shape = SHAPES[name]
    more = replace(flags, gpu_layers=(flags.gpu_layers or 0) + 1)
    rows = [estimate(shape, tried, machine).memory[0] for tried in (flags, more)]
    kept_bytes = [row.weights_bytes + row.kv_cache_bytes for row in rows]
    assert kept_bytes[1] >= kept_bytes[0]


@few
@given(st.sampled_from(NAMES), lines, st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_the_sum_does_not_depend_on_the_order_of_devices(
    name: str, flags: LlamaFlags, split: tuple[int, int]
) -> None:
    machine = build.assumed_gpus(2)
    swapped = replace(machine, gpus=machine.gpus[::-1])
    flags = replace(flags, tensor_split=tuple(float(part) for part in split))
    assert total(name, flags, machine) == total(name, flags, swapped)


@few
@given(st.sampled_from(NAMES), lines, st.integers(0, 2), st.integers(0, 30_000))
def test_depth_slows_decode_and_takes_no_memory(name: str, flags: LlamaFlags, gpus: int, depth: int) -> None:
    machine = build.hardware(*(build.gpu(80, name=str(index)) for index in range(gpus)))
    shape = SHAPES[name]
    empty = estimate(shape, flags, machine)
    deep = estimate(shape, flags, machine, depth_tokens=depth)
    assert deep.memory == empty.memory
    assert empty.speed.decode_tokens_per_s is not None
    assert deep.speed.decode_tokens_per_s is not None
    assert deep.speed.decode_tokens_per_s.expected <= empty.speed.decode_tokens_per_s.expected
