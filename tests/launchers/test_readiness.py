"""An engine is ready when it answers, not when it listens."""

import pytest

from domain.errors import EngineError
from launchers.readiness import describe_nonsense
from tests.launchers.conftest import MakeProcess


async def test_the_known_answer_and_the_engines_own_rates_are_reported(engine_with: MakeProcess) -> None:
    ready = await engine_with().ensure_ready(120)
    assert ready.answer == "The capital of France is Paris."
    assert ready.decode_tokens_per_s is not None
    assert ready.prefill_tokens_per_s is not None
    assert ready.decode_tokens_per_s > 10


async def test_rates_are_taken_by_the_clock_where_the_engine_gives_none(engine_with: MakeProcess) -> None:
    ready = await engine_with("--no-timings").ensure_ready(120)
    assert ready.decode_tokens_per_s is not None
    assert ready.decode_tokens_per_s > 0  # how many it is by the clock: test_answers.py


async def test_a_model_without_a_chat_template_completes_a_text(engine_with: MakeProcess) -> None:
    assert (await engine_with("--no-template").ensure_ready(120)).answer == "The capital of France is Paris."


@pytest.mark.parametrize(
    ("args", "cause", "says"),
    [
        pytest.param(["--answer", ")))"], "wrong_answer", r"repeats '\)'", id="one sign for ever"),
        pytest.param(["--answer", " the"], "wrong_answer", "repeats 'the'", id="one word for ever"),
        pytest.param(["--answer", ""], "wrong_answer", "it is empty", id="silence"),
        pytest.param(["--answer", "\ufffd"], "wrong_answer", "not valid text", id="bytes that are no text"),
        pytest.param(["--raw", "data: {"], "no_answer", "does not answer", id="broken JSON"),
        pytest.param(
            ["--raw", 'data: {"error": {"code": 500}}'], "no_answer", "500", id="an error in the stream"
        ),
        pytest.param(["--mute"], "timeout", "within 2 s", id="healthy, and mute"),
        pytest.param(["--alias", "another"], "port_taken", "serves another", id="someone else's engine"),
    ],
)
async def test_an_engine_that_serves_garbage_is_not_ready(
    engine_with: MakeProcess, args: list[str], cause: str, says: str
) -> None:
    process = engine_with(*args)
    with pytest.raises(EngineError, match=says) as failed:
        await process.ensure_ready(2 if cause == "timeout" else 120)
    assert failed.value.cause == cause
    assert not process.alive


async def test_an_expected_word_must_be_in_the_answer(engine_with: MakeProcess) -> None:
    assert (await engine_with(expect="paris").ensure_ready(120)).answer


async def test_an_answer_without_the_expected_word_is_wrong(engine_with: MakeProcess) -> None:
    with pytest.raises(EngineError, match="does not contain 'Vienna'") as failed:
        await engine_with(expect="Vienna").ensure_ready(120)
    assert failed.value.engine_output == "The capital of France is Paris."


@pytest.mark.parametrize("text", ["Paris", "4", "....", "no no no", "The capital of France is Paris."])
def test_short_and_plain_answers_are_not_garbage(text: str) -> None:
    assert describe_nonsense(text) is None
