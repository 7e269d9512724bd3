"""Options that can't be met together are refused, with the nearest ones that can."""

import re

import pytest

from domain.errors import DoesNotFitError, NodeError, UnknownModelError, UsageError
from domain.launches.plan import LaunchOptions
from planner.choose.choose import plan
from planner.choose.quality import filter_by_least
from tests.planner import build

LLAMA = build.candidates("llama-3.1-8b", "F16", "Q8_0", "Q4_K_M")


@pytest.mark.parametrize(
    ("options", "error", "there_is"),
    [
        (LaunchOptions(quality="q9"), UnknownModelError, "Q8_0"),
        (LaunchOptions(quality="better"), UnknownModelError, "Q8_0"),
        (LaunchOptions(context_tokens=10**6), UsageError, "131072"),
    ],
)
def test_a_wish_that_no_one_can_grant_is_refused_with_what_there_is(
    options: LaunchOptions, error: type[NodeError], there_is: str
) -> None:
    with pytest.raises(error) as refused:
        plan("a model", LLAMA, build.CARD_24, options)
    assert there_is in refused.value.hint


def test_a_wished_speed_costs_quality_unless_that_is_wished_for_too() -> None:
    quick = plan("a model", LLAMA, build.CARD_24, LaunchOptions(min_decode_tokens_per_s=100))
    assert quick.weights.quant == "Q4_K_M"
    with pytest.raises(UsageError, match="does not reach 100 tokens/s here: Q8_0 is expected"):
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(min_decode_tokens_per_s=100, quality="best"))


def test_a_speed_that_is_out_of_reach_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match="does not reach 5000 tokens/s here: Q4_K_M is expected at"
    ) as refused:
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(min_decode_tokens_per_s=5000))
    assert "--min-decode" in refused.value.hint
    unknown = build.hardware(gb_per_s=None)
    assert plan("a model", LLAMA, unknown, LaunchOptions(min_decode_tokens_per_s=5000)).fits


@pytest.mark.parametrize(
    ("quality", "begin"),
    [
        ("asdfqwer", "give one of "),
        ("balnced", "did you mean balanced? Give one of "),
        ("Q8", "did you mean Q8_0? "),
    ],
)
def test_a_quality_that_is_none_is_told_with_those_that_there_are(quality: str, begin: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(quality=quality))
    assert caught.value.hint.startswith(begin)
    listed = re.findall(r"(\S+) \([0-9.]+ [MG]iB\)", caught.value.hint)
    sizes = {model.weights.quant: model.weights.size_bytes for model in LLAMA}
    assert listed == sorted(sizes, key=lambda quant: sizes[quant])
    assert caught.value.hint.endswith(", or best, high, balanced, fast, small")


def test_no_context_is_shorter_than_the_least_that_was_asked_for() -> None:
    """Of 32 billion parameters 23 GiB of RAM hold 8192 tokens, 22 a quarter of that."""
    models = build.candidates("qwen3-32b", "Q4_K_M")
    roomy, tight = build.hardware(ram_gib=23), build.hardware(ram_gib=22)
    assert plan("m", models, roomy, LaunchOptions()).context_tokens == 8192
    assert plan("m", models, roomy, LaunchOptions(min_context_tokens=3000)).context_tokens == 8192
    with pytest.raises(DoesNotFitError):
        plan("m", models, roomy, LaunchOptions(min_context_tokens=16384))
    assert plan("m", models, tight, LaunchOptions(min_context_tokens=2048)).context_tokens == 2048
    with pytest.raises(DoesNotFitError) as refused:
        plan("m", models, tight, LaunchOptions(min_context_tokens=4096))
    assert "fits with --min-context 2048" in refused.value.hint


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (LaunchOptions(context_tokens=8192, min_context_tokens=16384), "give --min-context 8192 or less"),
        (LaunchOptions(min_context_tokens=10**6), "give --min-context 131072 or less"),
        (LaunchOptions(min_quality="best", quality="Q4_K_M"), "give --min-quality Q4_K_M"),
    ],
)
def test_a_least_that_can_t_be_met_is_refused_with_what_can(options: LaunchOptions, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        plan("a model", LLAMA, build.CARD_24, options)
    assert refused.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("least", "quants"),
    [
        ("Q8_0", {"F16", "Q8_0"}),
        ("best", {"F16", "Q8_0"}),
        ("balanced", {"F16", "Q8_0", "Q4_K_M"}),
        ("Q5_K_M", {"F16", "Q8_0"}),  # by its name: it is not among them
        ("UD-Q3_K_XL", {"F16", "Q8_0", "Q4_K_M"}),
        ("fp8", {"F16", "Q8_0"}),
    ],
)
def test_no_quant_is_worse_than_the_least_that_was_asked_for(least: str, quants: set[str]) -> None:
    good = filter_by_least(tuple(LLAMA), least)
    assert {model.weights.quant for model in good} == quants


def test_a_least_quality_that_is_none_is_told() -> None:
    with pytest.raises(UnknownModelError, match="there is no quant nonsense"):
        filter_by_least(tuple(LLAMA), "nonsense")
