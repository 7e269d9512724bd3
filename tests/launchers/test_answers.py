"""What an engine is asked before it is ready, and the speeds that follow, by a clock of the test."""

import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from domain.errors import EngineError
from launchers import answer_stream, readiness
from launchers.answer_stream import Reply
from launchers.command import Command
from launchers.readiness import ask, check_answer, describe_nonsense, measure, wait_until_healthy

COMMAND = Command(argv=("engine",), port=1, served_name="tiny")
UNKNOWN = Reply("", None, None, None, None)
Steps = list[tuple[float, str]]  # the time, and the line that arrives then


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0, time_ns=lambda: 7)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(readiness, "time", clock)
    monkeypatch.setattr(answer_stream, "time", clock)
    return clock


class Stream(httpx.AsyncByteStream):
    def __init__(self, clock: SimpleNamespace, steps: Steps) -> None:
        self.clock, self.steps = clock, steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for time_s, line in self.steps:
            self.clock.now = 100.0 + time_s
            yield f"{line}\n\n".encode()


class Engine:
    """Answers each question with the next of ``answers``, and keeps what it was asked."""

    def __init__(self, clock: SimpleNamespace, *answers: Steps | int) -> None:
        self.clock, self.answers = clock, list(answers)
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.names = ["tiny"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": name} for name in self.names]})
        self.paths.append(request.url.path)
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            return httpx.Response(answer, json={"error": {"message": "no"}})
        return httpx.Response(200, stream=Stream(self.clock, answer))

    @property
    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="http://engine", transport=httpx.MockTransport(self))


def said(text: str, finished: str | None = None) -> str:
    choice = {"delta": {"content": text}, "finish_reason": finished}
    return f"data: {json.dumps({'choices': [choice]})}"


def told(**facts: object) -> str:
    return f"data: {json.dumps({'choices': [], **facts})}"


def usage(prompt: int, completion: int) -> str:
    return told(usage={"prompt_tokens": prompt, "completion_tokens": completion})


async def test_without_an_engines_figures_the_first_token_ends_the_prompt(clock: SimpleNamespace) -> None:
    """vLLM: 20 tokens of prompt in 2 s, then 9 more tokens in 3 s, two of them in one piece."""
    pieces = [(2 + number * 3 / 8, said("x")) for number in range(9)]
    engine = Engine(clock, [*pieces, (5.0, usage(20, 10)), (9.0, "data: [DONE]")])
    reply = await ask(engine.http, "tiny", "?", tokens=10)
    assert (reply.prompt_tokens, reply.prefill_tokens_per_s, reply.decode_tokens_per_s) == (20, 10.0, 3.0)


async def test_an_engines_own_figures_are_taken_where_it_has_them(clock: SimpleNamespace) -> None:
    figures = told(timings={"predicted_per_second": 55.5, "prompt_per_second": 777.0})
    engine = Engine(clock, [(2.0, said("x")), (3.0, said("y")), (3.0, usage(20, 2)), (3.0, figures)])
    reply = await ask(engine.http, "tiny", "?", tokens=10)
    assert (reply.prefill_tokens_per_s, reply.decode_tokens_per_s) == (777.0, 55.5)


async def test_pieces_are_counted_where_an_engine_does_not_count(clock: SimpleNamespace) -> None:
    engine = Engine(clock, [(1.0, said("a")), (2.0, said("b")), (3.0, said("c"))])
    reply = await ask(engine.http, "tiny", "?", tokens=10)
    assert (reply.prompt_tokens, reply.prefill_tokens_per_s, reply.decode_tokens_per_s) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("steps", "rates"),
    [
        pytest.param([(2.0, said("x")), (2.0, usage(20, 1))], (10.0, None), id="one token has no pace"),
        pytest.param([(0.0, said("x")), (0.0, said("y")), (0.0, usage(20, 2))], (None, None), id="no time"),
        pytest.param([(2.0, usage(20, 0))], (None, None), id="no token"),
        pytest.param(
            [(1.0, said("x")), (2.0, said("y")), (2.0, told(timings={"predicted_per_second": 0}))],
            (None, None),
            id="figures of nothing",
        ),
        pytest.param(
            [(1.0, told(timings={"predicted_per_second": 1e999, "prompt_per_second": -1}))],
            (None, None),
            id="figures that are none",
        ),
        pytest.param(
            [(1.0, told(timings={"predicted_per_second": "1", "prompt_per_second": None}))],
            (None, None),
            id="figures of another shape",
        ),
    ],
)
async def test_a_speed_that_can_t_be_told_is_unknown(
    clock: SimpleNamespace, steps: Steps, rates: tuple[float | None, float | None]
) -> None:
    reply = await ask(Engine(clock, steps).http, "tiny", "?", tokens=10)
    assert (reply.prefill_tokens_per_s, reply.decode_tokens_per_s) == rates


async def test_the_text_is_what_it_thought_and_said_in_any_dialect(clock: SimpleNamespace) -> None:
    lines = [
        ": a comment",
        f"data: {json.dumps({'choices': [{'delta': {'reasoning_content': 'Hm. ', 'content': None}}]})}",
        said("Paris"),
        f"data: {json.dumps({'choices': [{'text': '.', 'finish_reason': 'stop'}]})}",
        "data: [DONE]",
    ]
    reply = await ask(Engine(clock, [(0.0, line) for line in lines]).http, "tiny", "?", tokens=10)
    assert (reply.text, reply.finished) == ("Hm. Paris.", "stop")


async def test_a_question_is_greedy_streamed_and_in_no_cache(clock: SimpleNamespace) -> None:
    engine = Engine(clock, [], [])
    await ask(engine.http, "tiny", "Where?", tokens=10)
    await ask(engine.http, "tiny", "Where?", tokens=10, to_the_end=True)
    assert engine.asked[0] == {
        "model": "tiny",
        "max_tokens": 10,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": False,
        "ignore_eos": False,
        "messages": [{"role": "user", "content": "Where?"}],
    }
    assert engine.asked[1] == {**engine.asked[0], "ignore_eos": True}


async def test_only_a_model_that_knows_no_chat_is_asked_to_complete(clock: SimpleNamespace) -> None:
    engine = Engine(clock, 400, [])
    await ask(engine.http, "tiny", "Where?", tokens=10)
    assert engine.paths == ["/v1/chat/completions", "/v1/completions"]
    assert engine.asked[1]["prompt"] == "Question: Where?\nAnswer:"
    assert "messages" not in engine.asked[1]
    broken = Engine(clock, 500)
    with pytest.raises(httpx.HTTPStatusError):
        await ask(broken.http, "tiny", "Where?", tokens=10)
    assert len(broken.paths) == 1


@pytest.mark.parametrize(
    ("decode", "prefill", "tokens", "numbers"),
    [
        pytest.param(None, None, 8, 8, id="unknown: the least"),
        pytest.param(3.0, 5.0, 8, 8, id="slow: the least"),
        pytest.param(20.9, 100.0, 20, 50, id="a second of each"),
        pytest.param(1000.0, 9000.0, 64, 150, id="fast: the most"),
    ],
)
async def test_a_measurement_takes_about_a_second(
    clock: SimpleNamespace, decode: float | None, prefill: float | None, tokens: int, numbers: int
) -> None:
    engine = Engine(clock, [])
    await measure(engine.http, "tiny", like=Reply("", None, None, decode, prefill))
    (asked,) = engine.asked
    counted = " ".join(str(number) for number in range(1, numbers + 1))
    assert asked["messages"][0]["content"] == f"At 7 I counted: {counted}. Go on counting."
    assert (asked["max_tokens"], asked["ignore_eos"]) == (tokens, True)


async def test_a_measurement_of_so_many_tokens_takes_those(clock: SimpleNamespace) -> None:
    engine = Engine(clock, [])
    await measure(engine.http, "tiny", like=UNKNOWN, tokens=33)
    assert engine.asked[0]["max_tokens"] == 33


@pytest.mark.parametrize("answers", [(500,), (400, 400), ([(0.0, "data: {")],)])
async def test_a_measurement_that_fails_leaves_what_was_known(
    clock: SimpleNamespace, answers: tuple[Any, ...]
) -> None:
    like = Reply("x", "stop", 5, 10.0, None)
    assert await measure(Engine(clock, *answers).http, "tiny", like=like) == like


async def test_what_a_measurement_can_t_tell_stays_as_it_was_known(clock: SimpleNamespace) -> None:
    like = Reply("x", "stop", 5, 10.0, 100.0)
    figures = told(timings={"predicted_per_second": 12.0})
    found = await measure(Engine(clock, [(1.0, figures)]).http, "tiny", like=like)
    assert (found.decode_tokens_per_s, found.prefill_tokens_per_s) == (12.0, 100.0)
    figures = told(timings={"prompt_per_second": 120.0})
    found = await measure(Engine(clock, [(1.0, figures)]).http, "tiny", like=like)
    assert (found.decode_tokens_per_s, found.prefill_tokens_per_s) == (10.0, 120.0)


ANSWER = [(0.0, said(" It is Paris. ", "stop"))]


async def test_ready_is_the_known_answer_with_the_speeds_of_a_longer_one(clock: SimpleNamespace) -> None:
    figures = told(timings={"predicted_per_second": 12.0, "prompt_per_second": 120.0})
    engine = Engine(clock, ANSWER, [(1.0, usage(99, 8)), (1.0, figures)])
    ready = await check_answer(engine.http, COMMAND, expect="PARIS")
    assert ready == readiness.Ready("It is Paris.", 12.0, 120.0, prompt_tokens=99)
    assert engine.asked[0]["messages"][0]["content"] == readiness.QUESTION


async def test_an_answer_cut_off_before_the_word_is_accepted(clock: SimpleNamespace) -> None:
    thinking = [(0.0, said("Let me think about France", "length"))]
    assert (await check_answer(Engine(clock, thinking, []).http, COMMAND, expect="Paris")).answer
    done = [(0.0, said("Let me think about France", "stop"))]
    with pytest.raises(EngineError, match="does not contain 'Paris'") as failed:
        await check_answer(Engine(clock, done).http, COMMAND, expect="Paris")
    assert failed.value.cause == "wrong_answer"


async def test_another_program_on_the_port_is_named(clock: SimpleNamespace) -> None:
    engine = Engine(clock)
    engine.names = ["theirs", "also theirs"]
    with pytest.raises(EngineError, match="port 1 serves theirs, also theirs, not tiny") as failed:
        await check_answer(engine.http, COMMAND, expect=None)
    assert failed.value.cause == "port_taken"


@pytest.mark.parametrize("answer", [404, 500, [(0.0, f"data: {'[' * 99_999}")]])
async def test_an_engine_that_answers_no_question_is_not_ready(
    clock: SimpleNamespace, answer: Steps | int
) -> None:
    with pytest.raises(EngineError, match="healthy but does not answer") as failed:
        await check_answer(Engine(clock, answer).http, COMMAND, expect=None)
    assert failed.value.cause == "no_answer"


async def test_health_is_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([httpx.Response(503)] * 9 + [httpx.Response(200)])
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    def answer(request: httpx.Request) -> httpx.Response:
        if len(pauses) == 1:
            pauses.append(0.05)
            raise httpx.ConnectError("refused", request=request)
        return next(answers)

    monkeypatch.setattr(readiness, "asyncio", SimpleNamespace(sleep=sleep))
    transport: Callable[[httpx.Request], httpx.Response] = answer
    async with httpx.AsyncClient(base_url="http://e", transport=httpx.MockTransport(transport)) as http:
        await wait_until_healthy(http, "/health")
    assert pauses[0] == 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "it is empty"),
        (" \n ", "it is empty"),
        ("!" * 7, None),
        ("!" * 8, "it repeats '!'"),
        ("! ! ! ! ! ! ! !", "it repeats '!'"),
        ("no " * 5, None),
        ("no " * 6, "it repeats 'no'"),
        ("yes no " * 3, "it repeats 'yes'"),
        ("yes no maybe yes no maybe", None),
        ("\ufffd2345678", None),
        ("\ufffd\ufffd345678", "it is not valid text"),
        ("\ufffd234567", "it is not valid text"),
    ],
)
def test_texts_that_no_working_model_says(text: str, wrong: str | None) -> None:
    assert describe_nonsense(text) == wrong
