"""Where bytes lie and how large a batch is: the faster memory first, a whole turn in the balance."""

from dataclasses import replace

import pytest

from domain.launches.plan import LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Hardware
from planner.choose.choose import plan
from planner.llama_cpp.estimate import estimate
from tests.planner import build

LLAMA = build.candidates("llama-3.1-8b", "F16", "Q8_0", "Q4_K_M")
QWEN_32B = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
OSS = build.candidates("gpt-oss-120b", "MXFP4")
TINY = build.candidates("qwen3-0.6b", "F16", "Q8_0")


def flags_of(chosen: Plan) -> LlamaFlags:
    assert isinstance(chosen.flags, LlamaFlags)
    return chosen.flags


def test_a_small_fast_card_is_filled_before_a_large_slow_one() -> None:
    machine = build.hardware(
        build.gpu(24, gb_per_s=288, name="slow"), build.gpu(12, gb_per_s=1008, name="fast"), ram_gib=64
    )
    chosen = plan("a model", QWEN_32B, machine, LaunchOptions(quality="Q4_K_M", context_tokens=8192))
    slow, fast = chosen.memory[0], chosen.memory[1]
    assert fast.free_bytes is not None
    assert fast.needed_bytes > 0.85 * fast.free_bytes
    layers = flags_of(chosen).tensor_split
    assert sum(layers) == 65
    alone = replace(machine, gpus=machine.gpus[:1])
    other = plan("a model", QWEN_32B, alone, LaunchOptions(quality="Q4_K_M", context_tokens=8192))
    assert chosen.speed.decode_tokens_per_s is not None
    assert other.speed.decode_tokens_per_s is not None
    assert chosen.speed.decode_tokens_per_s.expected > 1.2 * other.speed.decode_tokens_per_s.expected
    assert slow.weights_bytes > 0


@pytest.mark.parametrize(
    ("models", "machine", "least"),
    [
        pytest.param(OSS, build.CARD_24, 2048, id="experts that are pulled over for prompts"),
        pytest.param(
            build.candidates("qwen3-32b", "Q8_0"),
            build.CARD_24,
            512,
            id="a dense model that decodes slowly: layers gain more",
        ),
        pytest.param(LLAMA, build.CARD_24, 512, id="nothing is pulled: the plain batch"),
        pytest.param(TINY, build.SMALL_CPU, 512, id="a CPU gains nothing"),
    ],
)
def test_a_larger_batch_where_a_whole_turn_gains(
    models: tuple[object, ...], machine: Hardware, least: int
) -> None:
    flags = flags_of(plan("a model", models, machine, LaunchOptions()))  # type: ignore[arg-type]
    assert flags.ubatch >= least
    assert (flags.ubatch == 512) is (least == 512)


def test_a_larger_batch_takes_no_more_than_it_gives() -> None:
    """A turn of 1024 new tokens and 256 answered is never longer than with the plain batch."""
    chosen = plan("a model", OSS, build.CARD_24, LaunchOptions())
    plain = estimate(OSS[0].shape, replace(flags_of(chosen), ubatch=512), build.CARD_24)
    turns_s = []
    for speed in (chosen.speed, plain.speed):
        assert speed.decode_tokens_per_s is not None
        assert speed.prefill_tokens_per_s is not None
        turns_s.append(1024 / speed.prefill_tokens_per_s.expected + 256 / speed.decode_tokens_per_s.expected)
    assert turns_s[0] < turns_s[1]


def test_native_mxfp4_is_not_requantized_for_a_hundredth_of_its_size() -> None:
    """Quants of such a model touch only what is not experts: nothing is won by them."""
    native = OSS[0]
    rest = {"BF16": "Q4_K", "Q8_0": "Q4_K"}
    tensors = tuple(row._replace(type=rest.get(row.type, row.type)) for row in native.shape.tensors)
    smaller = replace(
        native,
        weights=replace(native.weights, quant="Q4_K_M", size_bytes=int(native.weights.size_bytes * 0.99)),
        shape=replace(native.shape, tensors=tensors),
    )
    for machine in (build.CARD_24, build.GB10, build.STRIX_HALO):
        assert plan("m", (smaller, native), machine, LaunchOptions()).weights.quant == "MXFP4"
