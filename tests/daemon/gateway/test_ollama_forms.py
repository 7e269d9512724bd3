"""Ollama's forms and OpenAI's, translated both ways: what arrives at an engine, and at a client."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.app import App
from daemon.gateway.errors import GatewayError
from daemon.gateway.headers import Headers
from daemon.gateway.ollama import messages, requests
from daemon.gateway.ollama.answers import Clock, Translator
from daemon.gateway.ollama.events import Events
from daemon.gateway.ollama.requests import Target
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from domain.launches.plan import LaunchOptions
from tests.daemon.state.test_store import PLAN

PNG = "iVBORw0KGgo="
SMOL = Target("smol", context_tokens=4096, takes_images=True)
HELLO = [{"role": "user", "content": "hi"}]
CALL = {"function": {"name": "turn_on", "arguments": {"room": "kitchen", "level": 3}}}


def chat(target: Target = SMOL, **asked: Any) -> dict[str, Any]:
    return requests.chat({"model": "smol", "messages": HELLO, **asked}, target)


def test_options_reach_the_engine_by_the_names_that_it_knows() -> None:
    options = {"temperature": 0, "top_k": 40, "seed": 7, "num_predict": 9, "stop": ["\n"], "num_gpu": 99}
    body = chat(options={**options, "repeat_penalty": 1.1, "typical_p": 0.5, "min_p": 0.05})
    assert body["temperature"] == 0
    assert (body["top_k"], body["seed"], body["max_tokens"], body["stop"]) == (40, 7, 9, ["\n"])
    assert (body["repeat_penalty"], body["typical_p"], body["min_p"]) == (1.1, 0.5, 0.05)
    assert "num_gpu" not in body
    vllm = chat(Target("smol", is_vllm=True), options={"repeat_penalty": 1.1, "typical_p": 0.5})
    assert vllm["repetition_penalty"] == 1.1
    assert "typical_p" not in vllm


@pytest.mark.parametrize("limit", [-1, -2, 0, None])
def test_no_limit_of_an_answer_is_sent_where_there_is_none(limit: int | None) -> None:
    assert "max_tokens" not in chat(options={"num_predict": limit})


def test_a_window_that_is_served_is_taken_and_a_larger_one_refused_with_both_numbers() -> None:
    assert chat(options={"num_ctx": 4096})["model"] == "smol"
    assert chat(Target("smol"), options={"num_ctx": 10**6})["model"] == "smol"  # not known what is served
    with pytest.raises(
        GatewayError, match="num_ctx is 8192, and smol is served with a context of 4096"
    ) as no:
        chat(options={"num_ctx": 8192})
    assert no.value.status == 400


@pytest.mark.parametrize(
    "asked",
    [
        {"options": {"temperature": "hot"}},
        {"options": {"stop": [1]}},
        {"options": {"top_k": float("inf")}},
        {"options": []},
        {"format": "yaml"},
        {"think": "sometimes"},
        {"messages": "hi"},
        {"messages": [{"role": "alien", "content": ""}]},
        {"messages": [{"role": "user", "content": ["hi"]}]},
        {"messages": [{"role": "user", "content": "", "images": ["@@@@"]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
    ],
)
def test_what_is_malformed_is_refused_as_the_clients_mistake(asked: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as refused:
        chat(**asked)
    assert refused.value.status == 400


def test_formats_are_any_object_or_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert chat(format="json")["response_format"] == {"type": "json_object"}
    assert chat(format=schema)["response_format"]["json_schema"]["schema"] == schema
    assert "response_format" not in chat(format="")
    assert "response_format" not in chat(format=None)


def test_thinking_is_what_chat_templates_read() -> None:
    assert chat(think=False)["chat_template_kwargs"] == {"enable_thinking": False}
    assert chat(think="low")["chat_template_kwargs"] == {"enable_thinking": True, "reasoning_effort": "low"}
    assert "chat_template_kwargs" not in chat()


def test_images_are_sent_with_their_type_and_refused_where_none_are_seen() -> None:
    asked = [{"role": "user", "content": "what?", "images": [PNG]}]
    [message] = chat(messages=asked)["messages"]
    url = message["content"][1]["image_url"]["url"]
    assert (message["content"][0]["text"], url) == ("what?", f"data:image/png;base64,{PNG}")
    with pytest.raises(GatewayError, match="smol takes no images"):
        chat(Target("smol"), messages=asked)


def test_tool_calls_of_a_history_get_ids_that_their_answers_name() -> None:
    other = {"function": {"name": "turn_off", "arguments": {}}}
    told = messages.to_openai(
        [
            {"role": "assistant", "content": "", "tool_calls": [CALL, other], "thinking": "hm"},
            {"role": "tool", "content": "off", "tool_name": "turn_off"},
            {"role": "tool", "content": "on"},
        ]
    )
    calls = {call["function"]["name"]: call["id"] for call in told[0]["tool_calls"]}
    assert json.loads(told[0]["tool_calls"][0]["function"]["arguments"]) == CALL["function"]["arguments"]
    assert told[0]["reasoning_content"] == "hm"
    assert (told[1]["tool_call_id"], told[2]["tool_call_id"]) == (calls["turn_off"], calls["turn_on"])
    own = messages.to_openai([{"role": "tool", "content": "x", "tool_call_id": "abc"}])
    assert own[0]["tool_call_id"] == "abc"


@pytest.mark.parametrize("value", [0, 0.0, "0", "0s", "0m"])
def test_a_keep_alive_of_zero_asks_to_unload(value: object) -> None:
    assert requests.keep_alive_s({"keep_alive": value}) == 0


@pytest.mark.parametrize("value", [None, -1, 300, "5m", "1h30m", "-1", "0.5s", "10s"])
def test_any_other_keep_alive_does_not(value: object) -> None:
    assert requests.keep_alive_s({"keep_alive": value}) != 0


@pytest.mark.parametrize("value", ["soon", "", True, [1]])
def test_a_keep_alive_that_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(GatewayError, match="keep_alive"):
        requests.keep_alive_s({"keep_alive": value})


def test_a_prompt_is_sent_in_the_models_template_and_raw_as_it_is() -> None:
    body = requests.generate({"prompt": "hi", "system": "be brief", "stream": False}, SMOL)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "stream" not in body
    assert requests.raw({"prompt": "<s>hi", "raw": True}, SMOL)["prompt"] == "<s>hi"


@pytest.mark.parametrize("key", ["template", "suffix"])
def test_what_would_change_an_answer_unseen_is_refused(key: str) -> None:
    with pytest.raises(GatewayError, match=key) as refused:
        requests.generate({"prompt": "hi", key: "x"}, SMOL)
    assert refused.value.status == 501


# answers


def events(*deltas: dict[str, Any], finish: str = "stop") -> list[dict[str, Any]]:
    """As llama-server streams them: the last one has no choice, but the usage and the timings."""
    usage = {"prompt_tokens": 11, "completion_tokens": 4}
    found: list[dict[str, Any]] = [{"choices": [{"delta": delta}]} for delta in deltas]
    found.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    return [*found, {"choices": [], "usage": usage, "timings": {"prompt_ms": 250.0, "predicted_ms": 40.5}}]


def translated(found: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    translator = Translator("smol:latest", Clock(0.0, 1.0), **options)
    rows = [translator.chunk(event, at_s=1e9, now_s=2.0) for event in found]
    return [row for row in rows if row is not None] + translator.last(at_s=1e9, now_s=3.0)


def test_an_answer_streams_as_ollamas_with_its_counts_at_the_end() -> None:
    first, second, end = translated(events({"role": "assistant", "content": "Pa"}, {"content": "ris"}))
    assert first["message"] == {"role": "assistant", "content": "Pa"}
    assert (first["model"], first["created_at"]) == ("smol:latest", "2001-09-09T01:46:40.000000Z")
    assert (second["message"]["content"], second["done"]) == ("ris", False)
    assert (end["message"]["content"], end["done"], end["done_reason"]) == ("", True, "stop")
    assert (end["prompt_eval_count"], end["eval_count"]) == (11, 4)
    assert (end["prompt_eval_duration"], end["eval_duration"]) == (250_000_000, 40_500_000)
    assert (end["total_duration"], end["load_duration"]) == (3_000_000_000, 1_000_000_000)


def test_durations_that_an_engine_does_not_say_are_measured() -> None:
    found = events({"content": "Paris"})
    del found[-1]["timings"]
    end = translated(found)[-1]
    assert (end["prompt_eval_duration"], end["eval_duration"]) == (1_000_000_000, 1_000_000_000)


def test_tool_calls_that_come_in_parts_are_whole_objects() -> None:
    parts = [
        {"index": 0, "id": "a", "function": {"name": "turn_on", "arguments": '{"room": '}},
        {"index": 0, "function": {"arguments": '"kitchen"}'}},
        {"index": 1, "id": "b", "function": {"name": "stop", "arguments": ""}},
    ]
    rows = translated(events(*({"tool_calls": [part]} for part in parts), finish="tool_calls"))
    calls = [call["function"] for call in rows[0]["message"]["tool_calls"]]
    assert [(call["name"], call["arguments"]) for call in calls] == [
        ("turn_on", {"room": "kitchen"}),
        ("stop", {}),
    ]
    assert (rows[-1]["done_reason"], len(rows)) == ("stop", 2)


def test_arguments_that_a_model_wrote_wrong_are_an_object_all_the_same() -> None:
    part = {"index": 0, "function": {"name": "say", "arguments": '{"text": '}}
    [call] = translated(events({"tool_calls": [part]}))[0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == {"arguments": '{"text": '}


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thinking_is_apart_from_the_answer(key: str) -> None:
    found = events({key: "hm"}, {"content": "Paris"})
    assert [row["message"].get("thinking") for row in translated(found)] == ["hm", None, None]
    assert [row["message"]["content"] for row in translated(found, hides_thinking=True)] == ["Paris", ""]


def test_a_whole_answer_is_one_row() -> None:
    message = {"content": "Paris", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    answer = {"choices": [{"message": message, "finish_reason": "length"}], "usage": {"prompt_tokens": 3}}
    row = Translator("smol", Clock(0.0, 0.0)).whole(answer, at_s=0.0, now_s=1.0)
    assert (row["message"]["content"], row["done"], row["done_reason"]) == ("Paris", True, "length")
    assert row["message"]["tool_calls"][0]["function"]["arguments"] == {}
    assert row["prompt_eval_count"] == 3
    assert "eval_count" not in row  # not known


def test_a_completion_is_a_response() -> None:
    rows = translated([{"choices": [{"text": "Paris", "finish_reason": "stop"}]}], is_chat=False)
    assert [row["response"] for row in rows] == ["Paris", ""]


def test_events_that_are_cut_anywhere_are_whole() -> None:
    content = ': ping\n\ndata: {"a": "é"}\n\ndata:{"b": 2}\r\n\r\ndata: [DONE]\n\n'.encode()
    for cut in range(len(content)):
        reader = Events()
        assert [*reader.feed(content[:cut]), *reader.feed(content[cut:])] == [{"a": "é"}, {"b": 2}]


def test_a_line_is_bounded_and_not_what_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.gateway.ollama.events.MAX_LINE_BYTES", 20)
    reader = Events()
    assert len(reader.feed(b'data: {"a":1}\n' * 9)) == 9
    assert reader.feed(b"data: " + b" " * 14) == []
    with pytest.raises(GatewayError, match="without an end"):
        reader.feed(b" ")
    with pytest.raises(GatewayError, match="without an end"):
        Events().feed(b"data: " + b" " * 30 + b"\n")


def test_an_event_that_is_no_json_is_the_engines_fault() -> None:
    with pytest.raises(GatewayError) as broken:
        Events().feed(b"data: {oops\n")
    assert broken.value.status == 502


async def test_a_header_that_could_not_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.gateway.headers.AGAIN_S", 0.0)
    told: list[Any] = [OSError("it is being replaced"), ("llama", 1, {}, "")]

    async def run(*args: object, **more: object) -> object:
        answer = told.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    workers = SimpleNamespace(run=run)
    app = cast("App", SimpleNamespace(adapters=SimpleNamespace(workers=workers)))
    plan = replace(PLAN, weights=replace(PLAN.weights, location="/m"))
    launch = Launch(LaunchRequest("smol", "/m", LaunchOptions()), plan=plan)
    headers = Headers(app)
    assert (await headers.of(launch)).architecture is None
    while (await headers.of(launch)).architecture is None:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)
    assert told == []
