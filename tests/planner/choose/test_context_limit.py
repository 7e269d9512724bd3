"""A context beyond what the model was trained for is refused with the limit, by every engine's plan."""

import pytest

from domain.errors import UsageError
from domain.launches.plan import LaunchOptions
from planner.choose.choose import plan
from planner.model import hparams
from tests.planner import build
from tests.planner.build import SMOL, folder

LLAMA = build.candidates("llama-3.1-8b", "Q4_K_M")
TRAINED = hparams.read_hparams(LLAMA[0].shape).trained_context_tokens


def test_more_context_than_trained_is_refused_with_the_flag_to_give() -> None:
    with pytest.raises(UsageError, match=f"{TRAINED} tokens, {TRAINED + 1} were asked for") as caught:
        plan("a model", LLAMA, build.CARD_24, LaunchOptions(context_tokens=TRAINED + 1))
    assert caught.value.hint == f"give --context {TRAINED} or less"


def test_vllm_does_not_cap_it_silently_either() -> None:
    tiny = (folder(SMOL, 270_000_000),)
    with pytest.raises(UsageError, match="8192 tokens, 8193 were asked for"):
        plan("a model", tiny, build.CARD_24, LaunchOptions(context_tokens=8193))
    assert plan("a model", tiny, build.CARD_24, LaunchOptions(context_tokens=8192)).context_tokens == 8192


def test_each_of_several_slots_may_have_all_of_it() -> None:
    chosen = plan("a model", LLAMA, build.TWO_3090, LaunchOptions(context_tokens=TRAINED, parallel=2))
    assert chosen.context_tokens == TRAINED
