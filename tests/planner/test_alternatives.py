"""What else there was, and its price: every figure is checked with an estimate of the same command."""

import re
from dataclasses import replace

import pytest

from domain.hardware import Hardware
from domain.plan import Alternative, LaunchOptions, LlamaFlags, Plan
from domain.units import GIB
from planner.choose.choose import plan
from planner.llama_cpp import search
from planner.llama_cpp.estimate import estimate
from planner.llama_cpp.search import SearchContext
from planner.llama_cpp.split_search import total_room_bytes
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from tests.planner import build

QWEN_32B = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
LLAMA = build.candidates("llama-3.1-8b", "F16", "Q8_0", "Q4_K_M")
OSS = build.candidates("gpt-oss-120b", "MXFP4")
TWO_28 = build.hardware(build.gpu(28, name="one"), build.gpu(28, name="two"), ram_gib=64)


def flags_of(found: Plan) -> LlamaFlags:
    assert isinstance(found.flags, LlamaFlags)
    return found.flags


def named(found: Plan, what: str) -> Alternative:
    return next(one for one in found.alternatives if one.what == what)


def holds(found: Plan, machine: Hardware, tokens: int, kind: str | None = None) -> bool:
    """By an estimate of the plan's own command with this context, margins kept."""
    flags = flags_of(found)
    flags = flags if kind is None else search.with_cache(flags, kind)
    flags = replace(flags, context_tokens=tokens, cache_ram_mib=0)
    shape = next(one.shape for one in (*QWEN_32B, *LLAMA, *OSS) if one.weights == found.weights)
    rows = estimate(shape, flags, machine).memory
    return search.holds(rows, SearchContext(machine, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE))


def test_the_context_without_a_small_cache_is_the_most_that_holds() -> None:
    found = plan("a model", QWEN_32B, build.CARD_24, LaunchOptions())
    assert found.kv_cache_type == "q8_0"
    why = named(found, "Q4_K_M with f16 cache").why_not
    said = re.search(r"without q8_0 KV the context is (\d+), or 32768 at", why)
    assert said is not None
    most = int(said.group(1))
    assert 4096 < most < 32768
    assert holds(found, build.CARD_24, most, "f16")
    assert not holds(found, build.CARD_24, most + 1024, "f16")


@pytest.mark.parametrize("machine", [build.CARD_24, build.GB10])
def test_the_longest_context_here_is_said_and_holds(machine: Hardware) -> None:
    found = plan("a model", OSS, machine, LaunchOptions())
    said = re.search(r"up to (\d+) would hold", " ".join(found.reasons))
    assert said is not None
    most = int(said.group(1))
    assert holds(found, machine, most)
    assert most == 131072 or not holds(found, machine, most + 1024)


def test_a_better_quant_is_priced_by_what_it_needs_more_than_there_is() -> None:
    machine = build.hardware(build.gpu(24), ram_gib=32)
    found = plan("a model", QWEN_32B, machine, LaunchOptions())
    f16 = next(
        one for one in plan("a model", QWEN_32B, machine, LaunchOptions()).alternatives if one.what == "F16"
    )
    room = total_room_bytes(machine, DEFAULT_RESERVE)
    assert room is not None
    assert f16.needed_bytes is not None
    assert f16.decode_tokens_per_s is None
    assert f16.why_not.startswith(f"needs {(f16.needed_bytes - room) / GIB:.1f} GiB more than there is")
    slower = named(found, "Q8_0")
    assert "instead of" in slower.why_not
    assert slower.needed_bytes is not None
    more = slower.needed_bytes - found.needed_bytes
    assert f"needs {more / GIB:.1f} GiB more" in slower.why_not


def test_a_faster_quant_says_what_it_gains_and_what_it_loses() -> None:
    found = plan("a model", LLAMA, build.CARD_24, LaunchOptions())
    assert found.weights.quant == "Q8_0"
    faster = named(found, "Q4_K_M")
    assert found.speed.decode_tokens_per_s is not None
    assert faster.decode_tokens_per_s is not None
    assert faster.decode_tokens_per_s > 1.1 * found.speed.decode_tokens_per_s.expected
    assert "adds 0.18 to the perplexity, not 0.0026" in faster.why_not


def test_three_are_enough() -> None:
    for machine in (build.CARD_24, build.TWO_3090, build.GB10, build.SMALL_CPU):
        assert len(plan("a model", LLAMA, machine, LaunchOptions()).alternatives) <= 3


def test_prices_are_those_of_the_batch_that_was_chosen() -> None:
    found = plan("m", OSS, TWO_28, LaunchOptions())
    ubatch = flags_of(found).ubatch or 0
    assert ubatch > search.UBATCH
    case = SearchContext(TWO_28, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)
    small = next(one for one in search.options(OSS[0], 32768, case) if one.cache_type == "q8_0")
    alike = search.at_batch(small, ubatch, case)
    assert alike is not None
    assert isinstance(alike.flags, LlamaFlags)
    assert alike.flags.ubatch == ubatch
    other = named(found, "MXFP4 with q8_0 cache")
    assert (other.needed_bytes, other.decode_tokens_per_s) == (alike.needed_bytes, alike.decode)
    assert alike.needed_bytes > small.needed_bytes


def test_a_smaller_batch_does_not_make_a_quant_of_the_same_bytes_faster() -> None:
    twin = replace(OSS[0], weights=replace(OSS[0].weights, quant="Q8_0"))
    found = plan("m", (*OSS, twin), TWO_28, LaunchOptions())
    assert found.weights.quant == "MXFP4"
    assert [one.what for one in found.alternatives] == ["MXFP4 with q8_0 cache"]
