"""The cache that several sequences share."""

from dataclasses import replace

import pytest

from domain.launches.plan import LLAMA_CPP, LaunchOptions, LlamaFlags, Plan
from domain.machine.hardware import InstalledEngine
from planner.choose.choose import plan
from tests.planner import build

LLAMA = build.candidates("llama-3.1-8b", "Q4_K_M")


def planned(parallel: int, version: str | None = None) -> tuple[Plan, LlamaFlags]:
    engines = (InstalledEngine(LLAMA_CPP, "llama-server", version, ("cpu", "cuda")),) if version else ()
    machine = replace(build.hardware(build.gpu(80)), engines=engines)
    chosen = plan("m", LLAMA, machine, LaunchOptions(context_tokens=16384, parallel=parallel))
    assert isinstance(chosen.flags, LlamaFlags)
    return chosen, chosen.flags


@pytest.mark.parametrize(
    ("parallel", "windows", "sure"), [(1, 1, None), (2, 2, None), (4, 2, 8192), (8, 2, 4096), (16, 4, 4096)]
)
def test_more_than_two_share_a_pool_and_know_what_each_is_sure_of(
    parallel: int, windows: int, sure: int | None
) -> None:
    chosen, flags = planned(parallel)
    assert (flags.context_tokens, flags.parallel, chosen.context_tokens) == (windows * 16384, parallel, 16384)
    assert (bool(flags.kv_unified), chosen.guaranteed_tokens) == (sure is not None, sure)
    assert sure is None or any(f"each is sure of {sure}" in reason for reason in chosen.reasons)


def test_a_build_that_may_lack_the_option_reserves_a_window_for_each() -> None:
    assert planned(4, "b5000")[1].context_tokens == 4 * 16384
    assert planned(4, "b6100")[1].context_tokens == 2 * 16384


def test_a_long_context_for_many_fits_where_a_window_for_each_would_not() -> None:
    """16 windows of 32768 tokens of an 8B model are 64 GiB in 16 bits."""
    chosen = plan("m", LLAMA, build.CARD_24, LaunchOptions(context_tokens=32768, parallel=16))
    assert chosen.pool_tokens == 4 * 32768
    assert chosen.memory[0].needed_bytes < chosen.memory[0].free_bytes  # type: ignore[operator]
