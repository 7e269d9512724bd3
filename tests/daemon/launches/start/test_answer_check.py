"""Of which models the known word is demanded, and which answers prove one."""

from dataclasses import replace

import pytest

from config.data import catalogue
from daemon.launches.start.answer_check import expected, is_proved
from domain.models.catalogue_types import KnownQuant, VllmRepo
from launchers.readiness import Ready
from tests.daemon.state.test_store import PLAN

REPO = "o/r"  # of PLAN
BASE = replace(catalogue()["qwen3-8b"], gguf_repos=(), vllm=(), quants=())


@pytest.mark.parametrize(
    ("parameters", "word"),
    [(8_000_000_000, "Paris"), (3_000_000_000, "Paris"), (2_999_999_999, None), (0, None), (None, None)],
)
def test_the_word_is_demanded_of_models_that_must_know_it(parameters: int | None, word: str | None) -> None:
    known = replace(BASE, gguf_repos=(REPO,), parameters=parameters)
    assert expected({"other": BASE, "known": known}, PLAN) == word


@pytest.mark.parametrize(
    "known",
    [
        replace(BASE, gguf_repos=("x/y", REPO)),
        replace(BASE, vllm=(VllmRepo(REPO, "BF16"),)),
        replace(BASE, quants=(KnownQuant(REPO, "Q8_0", 1),)),
    ],
    ids=["GGUF", "vLLM", "a quant's own"],
)
def test_every_repository_of_a_known_model_counts(known: object) -> None:
    assert expected({"known": known}, PLAN) == "Paris"  # type: ignore[dict-item]


def test_nothing_is_demanded_of_a_model_that_nobody_knows() -> None:
    assert expected({"other": BASE}, PLAN) is None
    assert expected({}, PLAN) is None


@pytest.mark.parametrize(
    ("answer", "proved"), [("It is PARIS.", True), ("paris", True), ("Lyon", False), ("", False)]
)
def test_whoever_says_the_word_is_proved(answer: str, proved: bool) -> None:
    assert is_proved(Ready(answer)) is proved
