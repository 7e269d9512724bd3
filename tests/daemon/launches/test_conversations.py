"""Which slot a request gets, what is copied, and what goes to make room. Pure."""

from dataclasses import replace
from math import inf

import pytest

from daemon.launches.conversations import policy
from daemon.launches.conversations.policy import MAX_COPIES, Rates, find_copy, is_worth_writing, make_room
from daemon.launches.conversations.prompt import Prompt
from daemon.launches.conversations.slots import BYTES_PER_TOKEN, HALF_LIFE_S, Slot, choose, predict
from daemon.state.records import ConversationCopy


def prompt(name: str, turns: int, size: int = 100) -> Prompt:
    """Of ``turns`` messages of ``size`` bytes, behind a head that all share."""
    links = (b"head", *(f"{name}{turn}".encode() for turn in range(turns)))
    return Prompt(links, tuple(size * (index + 1) for index in range(len(links))), 1)


def slot(
    number: int, name: str = "", turns: int = 0, *, used: float = 0.0, busy: int = 0, size: int = 100
) -> Slot:
    if not turns:
        return Slot(number, busy=busy)
    of = prompt(name, turns, size)
    return Slot(number, of.chain, of.size_bytes, used_s=used, busy=busy)


MAIN = slot(0, "main", 20, used=90.0)


@pytest.mark.parametrize(
    ("slots", "asks", "chosen", "continues"),
    [
        pytest.param([MAIN, slot(1)], prompt("main", 22), 0, True, id="the next turn"),
        pytest.param([MAIN, slot(1)], prompt("main", 20), 0, True, id="another try"),
        pytest.param([MAIN, slot(1)], prompt("title", 1), 1, False, id="another one, a slot is free"),
        pytest.param(
            [MAIN, slot(1, "sub", 3, used=99.0)],
            prompt("title", 1),
            1,
            False,
            id="a short one goes, though used later",
        ),
        pytest.param(
            [MAIN, slot(1, "old", 30, used=90.0 - 3 * HALF_LIFE_S)],
            prompt("title", 1),
            1,
            False,
            id="an old one goes",
        ),
        pytest.param(
            [slot(0, "a", 5, used=3.0), slot(1, "b", 5, used=2.0)],
            prompt("c", 1),
            1,
            False,
            id="equal: the older",
        ),
        pytest.param(
            [slot(0, "main", 20, busy=1), slot(1, "b", 5)],
            prompt("main", 22),
            1,
            False,
            id="its slot is busy",
        ),
        pytest.param(
            [slot(0, "main", 20, busy=2), slot(1, "b", 5, busy=1)],
            prompt("main", 22),
            1,
            False,
            id="all are: fewest",
        ),
        pytest.param(
            [slot(0, "b", 5, busy=1), slot(1, "main", 20, busy=1)],
            prompt("main", 22),
            1,
            False,
            id="all are: its own",
        ),
        pytest.param(
            [slot(0, "main", 3, used=5.0), slot(1, "main", 5, used=1.0)],
            prompt("main", 7),
            1,
            True,
            id="the longest",
        ),
        pytest.param(
            [slot(0, "main", 5, used=1.0), slot(1, "main", 5, used=5.0)],
            prompt("main", 7),
            1,
            True,
            id="the latest",
        ),
    ],
)
def test_a_request_gets_the_slot_that_loses_least(
    slots: list[Slot], asks: Prompt, chosen: int, continues: bool
) -> None:
    found = choose(slots, asks, 100.0)
    assert (found.slot.id, found.continues) == (chosen, continues)


@pytest.mark.parametrize(
    ("slots", "asks", "chosen", "continues"),
    [
        pytest.param([slot(1, "b", 5, used=1.0), MAIN], prompt("main", 22), 0, True, id="the most similar"),
        pytest.param([slot(1), MAIN], prompt("title", 30), 1, False, id="never used"),
        pytest.param([slot(1, "b", 5, used=95.0), MAIN], prompt("title", 30), 0, False, id="the oldest"),
        pytest.param([slot(1, "b", 5), MAIN], prompt("title", 3), 1, False, id="a system prompt they share"),
        pytest.param(
            [slot(1, "b", 5, used=1.0), MAIN], prompt("main", 209), 1, False, id="a tenth: too little"
        ),
        pytest.param([slot(1, "b", 5, used=1.0), MAIN], prompt("main", 208), 0, True, id="a little more"),
        pytest.param([slot(0, "main", 20, busy=1), slot(1, "b", 5)], prompt("main", 22), 1, False, id="busy"),
        pytest.param([slot(0, "main", 20, busy=1)], prompt("main", 22), 0, True, id="all are"),
    ],
)
def test_what_the_engine_chooses_is_foreseen(
    slots: list[Slot], asks: Prompt, chosen: int, continues: bool
) -> None:
    found = predict(slots, asks)
    assert (found.slot.id, found.continues) == (chosen, continues)


def test_a_slot_that_is_emptied_has_nothing() -> None:
    found = slot(3, "a", 4)
    found.tokens, found.copy, found.copied_tokens, found.changed = 500, "f", 5, True
    found.restored, found.prompt_tokens = True, 3
    assert found.likely_tokens == 500
    found.empty()
    assert found == Slot(3, used_s=0.0)
    assert found.used_s > -inf
    found.size_bytes = 400
    assert found.likely_tokens == 400 // BYTES_PER_TOKEN


FAST = Rates(
    prefill_tokens_per_s=1000.0, write_bytes_per_s=1e9, bytes_per_token=1e5
)  # 0.1 ms a token to write


@pytest.mark.parametrize(
    ("tokens", "copied", "rates", "worth"),
    [
        pytest.param(10_000, 0, FAST, True, id="10 s to read, 1 s to write"),
        pytest.param(10_000, 7_000, FAST, True, id="3 s to read"),
        pytest.param(10_000, 8_000, FAST, True, id="2 s: twice as long"),
        pytest.param(10_000, 8_001, FAST, False, id="less"),
        pytest.param(10_000, 10_000, FAST, False, id="nothing new"),
        pytest.param(10_000, 20_000, FAST, False, id="shorter than the copy"),
        pytest.param(policy.LEAST_TOKENS - 1, 0, FAST, False, id="short"),
        pytest.param(policy.LEAST_TOKENS, 0, FAST, True, id="long enough"),
        pytest.param(1000, 0, Rates(), True, id="nothing known"),
        pytest.param(1000, 0, Rates(bytes_per_token=1e6), True, id="a processor: 10 s and 5 s"),
        pytest.param(1000, 0, Rates(bytes_per_token=1.01e6), False, id="a little more"),
    ],
)
def test_a_copy_is_written_where_reading_takes_twice_as_long(
    tokens: int, copied: int, rates: Rates, worth: bool
) -> None:
    assert is_worth_writing(tokens, copied, rates) is worth


def copy(
    file: str, *, used: float = 0.0, size: int = 10, launch: str = "a", of: Prompt | None = None
) -> ConversationCopy:
    chain = (of or prompt(file, 3)).chain
    return ConversationCopy(launch, file, "i", chain, 100, 50, 40, size, used)


def test_the_copy_with_most_of_a_conversation_is_found() -> None:
    copies = [copy(f"f{turns}", of=prompt("main", turns), used=-turns) for turns in (2, 4, 6)]
    found = find_copy(copies, prompt("main", 5))
    assert found is not None
    assert found.file == "f6"  # another try of its last message
    assert find_copy(copies, prompt("main", 3)) is copies[1]
    assert find_copy(copies, prompt("other", 9)) is None
    assert find_copy([replace(copies[0], chain=())], prompt("main", 5)) is None
    twice = [copy("old", of=prompt("main", 2), used=1.0), copy("new", of=prompt("main", 2), used=2.0)]
    assert find_copy(twice, prompt("main", 5)) is twice[1]


def files(count: int) -> list[ConversationCopy]:
    return [copy(f"conversation-{number}.bin", used=float(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("copies", "needed", "limit", "removes", "file", "goes"),
    [
        pytest.param([], 10, 10, True, 0, [], id="the first"),
        pytest.param([], 11, 10, True, None, [], id="larger than all may be"),
        pytest.param(files(2), 10, 30, True, 2, [], id="one more"),
        pytest.param(files(2), 10, 29, True, 0, [0], id="the oldest goes"),
        pytest.param(files(3), 25, 35, True, 0, [0, 1], id="as many as it takes"),
        pytest.param(files(MAX_COPIES), 1, 10**6, True, 0, [0], id="as many as there may be"),
        pytest.param(files(2), 10, 30, False, 2, [], id="another file"),
        pytest.param(files(2), 10, 29, False, 0, [0], id="written over"),
        pytest.param(files(2), 20, 29, False, None, [], id="one alone does not make the room"),
        pytest.param(files(MAX_COPIES), 1, 10**6, False, 0, [0], id="as many files as there may be"),
    ],
)
def test_room_is_made_of_what_was_not_used_for_longest(
    copies: list[ConversationCopy], needed: int, limit: int, removes: bool, file: int | None, goes: list[int]
) -> None:
    found = make_room(copies, "a", needed, limit, removes=removes)
    if file is None:
        assert found is None
        return
    assert found is not None
    assert found.file == f"conversation-{file}.bin"
    assert list(found.goes) == [copies[number] for number in goes]


def test_other_launches_count_and_give_way() -> None:
    others = [copy("conversation-0.bin", launch="b", used=1.0), copy("conversation-1.bin", used=2.0)]
    found = make_room(others, "a", 10, 20, removes=True)
    assert found is not None
    assert (found.file, found.goes) == ("conversation-0.bin", (others[0],))
    assert make_room(others[:1], "a", 10, 10, removes=False) is None


def test_a_file_that_nobody_needs_is_written_over_first() -> None:
    [first, second] = files(2)
    second = replace(second, chain=())
    found = make_room([first, second], "a", 10, 29, removes=False)
    assert found is not None
    assert found.file == second.file
