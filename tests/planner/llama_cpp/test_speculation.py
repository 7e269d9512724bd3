"""What a draft model gains, and what it costs where it does not pay."""

from dataclasses import replace

import pytest

from domain.launches.plan import Estimate, LlamaFlags, Range
from domain.models.model import ModelShape
from planner.llama_cpp.estimate import ACCEPTANCE_NOTE, UNUSED_DRAFT_NOTE, estimate
from tests.planner import build

LARGE, SMALL = build.shape("qwen3-32b", "Q4_K_M"), build.shape("qwen3-0.6b", "Q8_0")
LINE = LlamaFlags(gpu_layers=999, context_tokens=4096, parallel=1)
DRAFTING = replace(LINE, draft_model="/m/draft.gguf", speculative=("draft-simple",), draft_max=3)


def estimated(flags: LlamaFlags, draft: ModelShape | None, shape: ModelShape = LARGE) -> Estimate:
    return estimate(shape, flags, build.hardware(build.gpu(32)), draft=draft)


def decode(estimated: Estimate) -> Range:
    assert estimated.speed.decode_tokens_per_s is not None
    return estimated.speed.decode_tokens_per_s


def test_a_small_draft_of_a_large_model_pays() -> None:
    plain, drafted = decode(estimated(LINE, None)), decode(estimated(DRAFTING, SMALL))
    assert 1.3 * plain.expected < drafted.expected < 2.6 * plain.expected
    assert drafted.high < 4 * 1.3 * plain.expected  # four tokens a round is all there is


def test_its_range_is_as_wide_as_what_is_accepted() -> None:
    plain, drafted = decode(estimated(LINE, None)), decode(estimated(DRAFTING, SMALL))
    assert drafted.high / drafted.low > 1.5 * plain.high / plain.low
    assert ACCEPTANCE_NOTE in estimated(DRAFTING, SMALL).notes


def test_a_draft_as_large_as_the_model_costs_speed() -> None:
    assert decode(estimated(DRAFTING, SMALL, SMALL)).expected < decode(estimated(LINE, None, SMALL)).expected


def test_experts_are_read_for_every_token_that_is_checked() -> None:
    moe = build.shape("qwen3-30b-a3b", "Q4_K_M")
    gain = decode(estimated(DRAFTING, SMALL, moe)).expected / decode(estimated(LINE, None, moe)).expected
    dense = decode(estimated(DRAFTING, SMALL)).expected / decode(estimated(LINE, None)).expected
    assert gain < 0.7 * dense


def test_a_draft_reads_the_prompt_too() -> None:
    plain, drafted = (
        estimated(flags, shape).speed.prefill_tokens_per_s
        for flags, shape in ((LINE, None), (DRAFTING, SMALL))
    )
    assert plain is not None
    assert drafted is not None
    assert drafted.expected < plain.expected


@pytest.mark.parametrize("speculative", [(), ("ngram-simple",)], ids=["no type", "another type"])
def test_a_draft_that_is_not_asked_gains_nothing(speculative: tuple[str, ...]) -> None:
    unused = estimated(replace(DRAFTING, speculative=speculative), SMALL)
    assert UNUSED_DRAFT_NOTE in unused.notes
    assert decode(unused) == decode(estimated(LINE, None))
