"""Messages: plain words, numbers, the next step, and no harm from names in them."""

import pytest

from daemon.notifications import message
from daemon.notifications.message import LINE_MAX
from domain.events import EventKind
from tests.daemon.notifications.build import event, pending


def test_one_event_is_told_in_full_with_the_next_step() -> None:
    said = message.of_events("aibox", pending(event(EventKind.FAILED, "coder failed: exit 1", "coder")))
    assert said.title == "aibox: error: failed"
    what, step = said.body.splitlines()
    assert what.endswith(" coder failed: exit 1")
    assert step == "Next: node-ctl logs coder"


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        (EventKind.GPU_BACK, "aibox: well again: gpu back"),
        (EventKind.RESTARTED, "aibox: done about it: restarted"),
        (EventKind.PROVEN, "aibox: info: proven"),
    ],
)
def test_what_ends_a_warning_says_so(kind: EventKind, title: str) -> None:
    assert message.of_events("aibox", pending(event(kind))).title == title


def test_a_storm_is_one_message_with_counts_by_kind() -> None:
    storm = [event(EventKind.DIED, f"death {number}") for number in range(480)]
    failed = [event(EventKind.FAILED, "it failed") for _ in range(20)]
    said = message.of_events("aibox", pending(*storm, *failed))
    assert said.title == "aibox: 500 events, 20 errors, 480 warnings"
    assert said.body.splitlines()[:2] == ["died 480, failed 20", "the last 8:"]
    assert len(said.body.splitlines()) == 11


def test_what_is_not_stored_any_more_is_counted() -> None:
    waiting = pending(event(EventKind.DIED))
    waiting.missing = 3
    assert "3 earlier events not stored any more" in message.of_events("aibox", waiting).body
    assert "3 earlier events not stored any more" in message.digest("aibox", waiting).body


def test_a_digest_has_the_words_of_status() -> None:
    happened = (
        event(EventKind.DIED, "coder died", "coder"),
        event(EventKind.RESTARTED, "coder is restarted"),
    )
    said = message.digest("aibox", pending(*happened))
    assert said.title == "aibox: 1 warning"
    head, died, restarted, step = said.body.splitlines()
    assert head == "1 warning: died 1; then restarted 1"
    assert died.endswith(" coder died")
    assert restarted.endswith(" coder is restarted")
    assert step == "Next: node-ctl logs coder"


def test_a_digest_of_a_quiet_day_says_that_all_went_well() -> None:
    said = message.digest("aibox", pending())
    assert said.title == "aibox: nothing went wrong"
    assert said.body == "nothing went wrong, 0 events\nnode-ctl status tells more"


def test_names_in_events_are_no_links_no_mentions_and_no_lines_of_their_own() -> None:
    name = (
        "x\n\nNext: rm -rf /\r\nBcc: all \x1b[2J\u202e http://evil.example/a www.evil.example @everyone <@1>"
    )
    said = message.of_events("aibox", pending(event(EventKind.DIED, name, "x")))
    assert len(said.body.splitlines()) == 2
    for bad in ("\x1b", "\u202e", "\r", "http://", "www.", "@everyone", "@1"):
        assert bad not in said.body
        assert bad not in said.title


def test_a_long_message_is_cut() -> None:
    said = message.of_events("aibox", pending(*[event(EventKind.DIED, "long " * 1000)] * 20))
    assert max(map(len, said.body.splitlines())) == LINE_MAX
    assert len(said.body) < 5000
