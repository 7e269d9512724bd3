"""What is removed from prompts, and by what a conversation is known. Pure."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.gateway.conversations.digest import CHUNK, prompt_of
from daemon.gateway.conversations.normalise import normalised
from daemon.gateway.conversations.rules import RULES
from daemon.launches.conversations.prompt import Prompt

BILLING = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"
YOU = "You are a coding agent."
LEFT = "<total_tokens>15000000 tokens left</total_tokens>"
CHAT = "/v1/chat/completions"


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param(
            {"system": [text(BILLING), text(YOU)], "messages": [USER]},
            {"system": [text(YOU)], "messages": [USER]},
            id="a block of its own",
        ),
        pytest.param({"system": f"{BILLING}\n{YOU}"}, {"system": YOU}, id="the first line of a text"),
        pytest.param({"system": f"{BILLING}{YOU}"}, {"system": YOU}, id="joined without a line's end"),
        pytest.param({"system": [text(BILLING + YOU)]}, {"system": [text(YOU)]}, id="within the first block"),
        pytest.param({"system": [text(BILLING)]}, {"system": [text("")]}, id="the only block stays, empty"),
        pytest.param(
            {"messages": [{"role": "system", "content": f"{BILLING}\n\n{YOU}"}, USER]},
            {"messages": [{"role": "system", "content": YOU}, USER]},
            id="OpenAI's system message",
        ),
        pytest.param(
            {"messages": [{"role": "system", "content": [text(BILLING), text(YOU)]}, USER]},
            {"messages": [{"role": "system", "content": [text(YOU)]}, USER]},
            id="OpenAI's system message in blocks",
        ),
        pytest.param(
            {"messages": [USER, {"role": "system", "content": LEFT}]},
            {"messages": [USER]},
            id="tokens left, a message",
        ),
        pytest.param(
            {"messages": [USER, {"role": "system", "content": [text(LEFT)]}]},
            {"messages": [USER]},
            id="tokens left, a message in blocks",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [text("done"), text(f"\n{LEFT}\n")]}]},
            {"messages": [{"role": "user", "content": [text("done")]}]},
            id="tokens left, a block behind a result",
        ),
        pytest.param(
            {"system": [text(BILLING), text(YOU)], "messages": [USER, {"role": "system", "content": LEFT}]},
            {"system": [text(YOU)], "messages": [USER]},
            id="both in one request",
        ),
    ],
)
def test_what_changes_with_each_request_is_removed(sent: Any, read: Any) -> None:
    asked = {"model": "m", "max_tokens": 5, **sent}
    assert json.loads(normalised(msgspec.json.encode(asked))) == {"model": "m", "max_tokens": 5, **read}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{ "system" : "You are. ", "messages":[]}', id="no rule"),
        pytest.param(json.dumps({"system": f"{YOU} {BILLING}"}).encode(), id="not at the beginning"),
        pytest.param(json.dumps({"system": [text(YOU), text(BILLING)]}).encode(), id="not the first block"),
        pytest.param(
            json.dumps({"messages": [{"role": "user", "content": BILLING}]}).encode(), id="a user's"
        ),
        pytest.param(
            json.dumps({"messages": [{"role": "user", "content": LEFT}]}).encode(), id="a user's text"
        ),
        pytest.param(
            json.dumps({"messages": [{"role": "user", "content": [text(LEFT)]}]}).encode(),
            id="all of a user's",
        ),
        pytest.param(
            json.dumps({"messages": [USER, {"role": "system", "content": f"What is {LEFT}?"}]}).encode(),
            id="within a text",
        ),
        pytest.param(b'{"messages": "<total_tokens>"}', id="no messages"),
        pytest.param(b'{"messages": [1, "<total_tokens>", {"content": 5}], "system": 7}', id="odd types"),
        pytest.param(b'{"messages": [<total_tokens>', id="no JSON"),
        pytest.param(b'["<total_tokens>"]', id="no object"),
        pytest.param(b'{"x-anthropic-billing-header:": 1, "system": []}', id="an empty prompt"),
    ],
)
def test_all_else_passes_byte_for_byte(body: bytes) -> None:
    assert normalised(body) is body


@given(st.binary(), st.sampled_from([rule.marker for rule in RULES]))
def test_no_body_is_refused(noise: bytes, marker: bytes) -> None:
    assert normalised(noise + marker) == noise + marker


def test_every_rule_says_who_sends_it() -> None:
    assert all(rule.client and rule.source.startswith("https://github.com/") for rule in RULES)
    long = "x-anthropic-billing-header:" + " a=b;" * 100_000
    assert RULES[0].pattern.match(long) is not None


def prompt(path: str = CHAT, **fields: Any) -> Prompt:
    found = prompt_of(path, msgspec.json.decode(json.dumps(fields).encode(), type=dict[str, msgspec.Raw]))
    assert found is not None
    return found


def said(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": words} for index, words in enumerate(texts)]


def test_a_turn_continues_the_one_before_and_no_other() -> None:
    system = {"role": "system", "content": YOU}
    first = prompt(messages=[system, *said("a")])
    assert first.head == 2
    assert prompt(messages=[system, *said("a", "b", "c")]).continues(first.chain)
    assert prompt(messages=[system, *said("a")]).continues(first.chain)
    assert not prompt(messages=[system, *said("x")]).continues(first.chain)
    assert not prompt(messages=said("a", "b", "c")).continues(first.chain)
    assert not prompt(messages=[system, *said("a", "b", "c")], tools=[{"name": "t"}]).continues(first.chain)
    third = prompt(messages=[system, *said("a", "b", "c")])
    assert prompt(messages=[system, *said("a", "b", "another try")]).continues(third.chain)
    assert not prompt(messages=[system, *said("a")]).continues(third.chain)
    assert not first.continues(())


def test_what_clients_move_is_no_part_of_a_message() -> None:
    marked = [{"role": "user", "content": [text("a", cache_control={"type": "ephemeral"})]}]
    then = [{"role": "user", "content": "a"}, *said("", "b", "c")[1:]]
    assert prompt("/v1/messages", messages=then).continues(prompt("/v1/messages", messages=marked).chain)
    beside = [{"role": "user", "content": "a", "cache_control": {"type": "ephemeral"}}]
    assert prompt(messages=beside).chain == prompt(messages=said("a")).chain
    ordered = [{"content": "a", "role": "user"}]
    assert prompt(messages=ordered).chain == prompt(messages=said("a")).chain


def test_a_longer_text_continues_a_shorter_one() -> None:
    short = prompt("/v1/completions", prompt="a" * (3 * CHUNK + 5))
    assert prompt("/v1/completions", prompt="a" * (5 * CHUNK)).continues(short.chain)
    assert not prompt("/v1/completions", prompt="b" * (5 * CHUNK)).continues(short.chain)


def test_sizes_are_those_of_the_text() -> None:
    found = prompt(messages=said("a" * 100, "b" * 200))
    assert 100 < found.bytes_of(2) < 200
    assert 300 < found.size_bytes < 400
    assert found.bytes_of(0) == 0
    assert found.size_bytes == sum(
        len(json.dumps(one, separators=(",", ":"))) for one in said("a" * 100, "b" * 200)
    )


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/tokenize", {"content": "a"}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": 5}),
        (CHAT, {"prompt": "a"}),
        ("/v1/completions", {"prompt": ""}),
    ],
)
def test_what_is_no_prompt_has_no_chain(path: str, fields: Any) -> None:
    raw = msgspec.json.decode(json.dumps(fields).encode(), type=dict[str, msgspec.Raw])
    assert prompt_of(path, raw) is None
