"""How long a context is chosen where none was asked for."""

from dataclasses import replace

import pytest

from domain.errors import DoesNotFitError
from domain.launches.plan import HOST, DeviceMemory, LaunchOptions, Plan
from domain.units import GIB
from planner.choose.candidates import Candidate
from planner.choose.choose import plan
from planner.choose.contexts import _costs_nothing, _round_contexts
from tests.planner import build
from tests.planner.choose.priced import candidate

LLAMA = build.candidates("llama-3.1-8b", "Q4_K_M")
QWEN_32B = build.candidates("qwen3-32b", "Q4_K_M")


def chosen(*args: object, **options: object) -> Plan:
    models, machine = args
    return plan("m", models, machine, LaunchOptions(**options))  # type: ignore[arg-type]


def test_a_context_is_as_long_as_costs_nothing() -> None:
    """8B in 4 bits leaves a 24 GiB card room for a cache of more than 32768 tokens, which costs no layer."""
    free, asked = (chosen(LLAMA, build.CARD_24, context_tokens=tokens) for tokens in (None, 32768))
    assert free.context_tokens == 131072 or free.context_tokens % 8192 == 0
    assert free.context_tokens > 2 * asked.context_tokens == 65536
    assert free.memory[0].weights_bytes == asked.memory[0].weights_bytes
    assert free.kv_cache_type == asked.kv_cache_type == "f16"


def test_a_model_that_fills_its_card_gets_what_was_wanted() -> None:
    tight = chosen(QWEN_32B, build.CARD_24)
    assert 8192 <= tight.context_tokens <= 32768
    assert tight.memory[0].weights_bytes > 17 * GIB


def test_half_of_the_ram_that_is_left_stays_free() -> None:
    host = build.hardware(ram_gib=16)
    free, asked = (chosen(LLAMA, host, context_tokens=tokens) for tokens in (None, 32768))
    left, left_before = (
        (row.free_bytes or 0) - row.needed_bytes
        for row in (free.memory[-1], asked.memory[-1])
        if row.device == HOST
    )
    assert free.context_tokens >= 32768
    assert left >= left_before / 2


def test_the_longest_context_is_held_whatever_it_costs_and_its_price_is_told() -> None:
    """8B in 8 bits and a cache for 131072 tokens are more than 12 GiB."""
    quants = build.candidates("llama-3.1-8b", "Q4_K_M", "Q8_0")
    card = build.hardware(build.gpu(12))
    free, most = chosen(quants, card), chosen(quants, card, max_context=True)
    assert free.context_tokens < most.context_tokens == 131072
    price = next(reason for reason in most.reasons if reason.startswith("131072 tokens of context cost, "))
    assert f"compared with {free.context_tokens} " in price
    assert price.endswith(" tokens/s") or "cache in q8_0" in price


def test_the_longest_context_is_shorter_where_memory_or_a_wanted_speed_sets_a_limit() -> None:
    host = build.hardware(ram_gib=10)
    most = chosen(LLAMA, host, max_context=True)
    assert 8192 < most.context_tokens < 131072
    with pytest.raises(DoesNotFitError):
        chosen(LLAMA, host, context_tokens=most.context_tokens + 2048)
    slow, fast = (
        chosen(QWEN_32B, build.CARD_24, max_context=True, min_decode_tokens_per_s=target)
        for target in (None, 25.0)
    )
    assert fast.context_tokens < slow.context_tokens == 40960


def test_a_context_shorter_than_costs_nothing_is_told_what_it_could_be() -> None:
    assert (
        "131072 tokens of context would cost nothing"
        in chosen(LLAMA, build.hardware(build.gpu(48)), context_tokens=4096).reasons
    )


def test_an_agent_gets_a_longer_context_than_a_chat_and_gives_a_quant_for_it() -> None:
    """8B in 8 bits leaves a 12 GiB card 48k of context, which is enough for a chat alone."""
    quants = build.candidates("llama-3.1-8b", "Q4_K_M", "Q8_0")
    card = build.hardware(build.gpu(12))
    chat, agent = (chosen(quants, card, use=use) for use in ("chat", "agent"))
    assert (chat.weights.quant, agent.weights.quant) == ("Q8_0", "Q4_K_M")
    assert chat.context_tokens < 65536 <= agent.context_tokens


@pytest.mark.parametrize(
    ("longest", "trained", "first", "last"),
    [(200_000, 131_072, 131_072, 8192), (51_200, 131_072, 49_152, 8192), (9000, 40_960, 8192, 8192)],
)
def test_contexts_are_round_numbers(longest: int, trained: int, first: int, last: int) -> None:
    tried = _round_contexts(longest, trained)
    assert (tried[0], tried[-1]) == (first, last)
    assert tried == sorted(set(tried), reverse=True)


def test_a_plan_says_how_long_a_turn_takes_and_what_a_better_quant_gains() -> None:
    explained = chosen(build.candidates("qwen3-32b", "Q4_K_M", "Q8_0"), build.CARD_24)
    assert explained.weights.quant == "Q4_K_M"
    assert any(reason.startswith("a turn (2048 tokens read and 600 written)") for reason in explained.reasons)
    (better,) = (other.why_not for other in explained.alternatives if other.what == "Q8_0")
    assert " tokens/s, but adds only about 0.0" in better
    several = chosen(LLAMA, build.CARD_24, parallel=4)
    assert not any(reason.startswith("a turn") for reason in several.reasons)


def test_layers_may_move_between_gpus_for_a_longer_context_but_not_to_the_host() -> None:
    def held(first: int, second: int, host: int) -> Candidate:
        sizes = (("GPU0", first), ("GPU1", second), (HOST, host))
        rows = tuple(DeviceMemory(device, size * GIB, 0, 0) for device, size in sizes)
        found = candidate("Q8_0", 20.0)
        return replace(found, estimate=replace(found.estimate, memory=rows))

    assert _costs_nothing(held(9, 11, 1), held(10, 10, 1))
    assert not _costs_nothing(held(9, 10, 2), held(10, 10, 1))
    assert not _costs_nothing(held(10, 10, 1), held(20, 0, 1)), "another GPU is used"
