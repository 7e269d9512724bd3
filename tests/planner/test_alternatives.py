"""What else there was, and its price: every figure is checked with an estimate of the same command."""

import re
from dataclasses import replace

import pytest

from domain.launches.plan import Alternative, LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import Hardware
from domain.units import GIB
from planner.choose.choose import plan
from planner.choose.context import SearchContext
from planner.llama_cpp import search as llama_cpp_search
from planner.llama_cpp.estimate import estimate
from planner.machine.budget import DEFAULT_RESERVE
from planner.machine.calibration import UNCALIBRATED
from planner.machine.gpu_budgets import total_budget_bytes
from tests.planner import build

QWEN_32B = build.candidates("qwen3-32b", "F16", "Q8_0", "Q4_K_M")
LLAMA = build.candidates("llama-3.1-8b", "F16", "Q8_0", "Q4_K_M")
OSS = build.candidates("gpt-oss-120b", "MXFP4")
TWO_28 = build.hardware(build.gpu(28, name="one"), build.gpu(28, name="two"), ram_gib=64)


def flags_of(chosen: Plan) -> LlamaFlags:
    assert isinstance(chosen.flags, LlamaFlags)
    return chosen.flags


def named(chosen: Plan, what: str) -> Alternative:
    return next(alternative for alternative in chosen.alternatives if alternative.what == what)


def holds(chosen: Plan, machine: Hardware, tokens: int, cache_type: str | None = None) -> bool:
    """By an estimate of the plan's own command with this context, margins kept."""
    flags = flags_of(chosen)
    flags = flags if cache_type is None else llama_cpp_search.with_cache_type(flags, cache_type)
    flags = replace(flags, context_tokens=tokens, cache_ram_mib=0)
    shape = next(model.shape for model in (*QWEN_32B, *LLAMA, *OSS) if model.weights == chosen.weights)
    rows = estimate(shape, flags, machine).memory
    return SearchContext(machine, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE).has_room(rows)


def test_the_context_without_a_small_cache_is_the_most_that_holds() -> None:
    chosen = plan("a model", QWEN_32B, build.CARD_24, LaunchOptions())
    assert chosen.kv_cache_type == "q8_0"
    why = named(chosen, "Q4_K_M with f16 cache").why_not
    match = re.search(r"without q8_0 KV the context is at most (\d+), or 32768 at", why)
    assert match is not None
    longest = int(match.group(1))
    assert 4096 < longest < 32768
    assert holds(chosen, build.CARD_24, longest, "f16")
    assert not holds(chosen, build.CARD_24, longest + 1024, "f16")


@pytest.mark.parametrize("machine", [build.CARD_24, build.GB10])
def test_the_longest_context_here_is_said_and_holds(machine: Hardware) -> None:
    chosen = plan("a model", OSS, machine, LaunchOptions())
    match = re.search(r"up to (\d+) would fit", " ".join(chosen.reasons))
    longest = int(match.group(1)) if match else chosen.context_tokens
    assert holds(chosen, machine, longest)
    assert longest == 131072 or not holds(chosen, machine, longest + 1024)


def test_a_better_quant_is_priced_by_what_it_needs_more_than_there_is() -> None:
    machine = build.hardware(build.gpu(24), ram_gib=32)
    chosen = plan("a model", QWEN_32B, machine, LaunchOptions())
    f16 = next(
        alternative
        for alternative in plan("a model", QWEN_32B, machine, LaunchOptions()).alternatives
        if alternative.what == "F16"
    )
    budget_bytes = total_budget_bytes(machine, DEFAULT_RESERVE)
    assert budget_bytes is not None
    assert f16.needed_bytes is not None
    assert f16.decode_tokens_per_s is None
    assert f16.why_not.startswith(
        f"needs {(f16.needed_bytes - budget_bytes) / GIB:.1f} GiB more than is available"
    )
    slower = named(chosen, "Q8_0")
    assert "instead of" in slower.why_not
    assert slower.needed_bytes is not None
    more = slower.needed_bytes - chosen.needed_bytes
    assert f"needs {more / GIB:.1f} GiB more" in slower.why_not


def test_a_faster_quant_says_what_it_gains_and_what_it_loses() -> None:
    chosen = plan("a model", LLAMA, build.CARD_24, LaunchOptions())
    assert chosen.weights.quant == "Q8_0"
    faster = named(chosen, "Q4_K_M")
    assert chosen.speed.decode_tokens_per_s is not None
    assert faster.decode_tokens_per_s is not None
    assert faster.decode_tokens_per_s > 1.1 * chosen.speed.decode_tokens_per_s.expected
    assert "adds about 1.5 % to the perplexity, not 0.01 %" in faster.why_not


def test_three_are_enough() -> None:
    for machine in (build.CARD_24, build.TWO_3090, build.GB10, build.SMALL_CPU):
        assert len(plan("a model", LLAMA, machine, LaunchOptions()).alternatives) <= 3


def test_prices_are_those_of_the_batch_that_was_chosen() -> None:
    chosen = plan("m", OSS, TWO_28, LaunchOptions())
    ubatch = flags_of(chosen).ubatch or 0
    assert ubatch > llama_cpp_search.UBATCH
    search = SearchContext(TWO_28, LaunchOptions(), UNCALIBRATED, DEFAULT_RESERVE)
    default_batch = next(
        candidate
        for candidate in llama_cpp_search.find_candidates(OSS[0], 32768, search)
        if candidate.cache_type == "q8_0"
    )
    same_batch = llama_cpp_search.with_ubatch(default_batch, ubatch, search)
    assert same_batch is not None
    assert isinstance(same_batch.flags, LlamaFlags)
    assert same_batch.flags.ubatch == ubatch
    other = named(chosen, "MXFP4 with q8_0 cache")
    assert (other.needed_bytes, other.decode_tokens_per_s) == (
        same_batch.needed_bytes,
        same_batch.decode_tokens_per_s,
    )
    assert same_batch.needed_bytes > default_batch.needed_bytes


def test_a_smaller_batch_does_not_make_a_quant_of_the_same_bytes_faster() -> None:
    twin = replace(OSS[0], weights=replace(OSS[0].weights, quant="Q8_0"))
    chosen = plan("m", (*OSS, twin), TWO_28, LaunchOptions())
    assert chosen.weights.quant == "MXFP4"
    assert [candidate.what for candidate in chosen.alternatives] == ["MXFP4 with q8_0 cache"]
