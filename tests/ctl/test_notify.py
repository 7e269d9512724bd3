"""``node-ctl notify``: what it asks of the daemon, and how it shows the answer."""

import json

from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

PHONE = {
    "name": "phone",
    "url": "ntfys://***",
    "level": "error",
    "kinds": ["download_done", "ready"],
    "quiet": "22:00-7:00",
    "digest": None,
    "waiting": 3,
    "last_sent": "2026-12-01T10:00:00+00:00",
    "problem": "A Connection error occurred",
}
MAIL = PHONE | {
    "name": "mail",
    "url": "mailtos://example.org/***",
    "level": None,
    "quiet": None,
    "digest": "8:00",
    "last_sent": None,
    "problem": None,
}
SENT = {"name": "phone", "url": "ntfys://***", "sent": True, "seconds": 1.24, "reason": None}
FAILED = {"name": "mail", "url": "mailtos://***", "sent": False, "seconds": 4.0, "reason": "refused"}


def test_the_list_shows_what_each_target_is_sent_and_what_failed(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/notifications", {"file": "/etc/x/notify.toml", "targets": [PHONE, MAIL]})
    head, phone, failed, mail = ctl("notify", "list", TZ="UTC").stdout.splitlines()
    assert head.split() == ["NAME", "URL", "EVENTS", "WHEN", "SENT", "WAIT"]
    assert " ".join(phone.split()) == "phone ntfys://*** errors, 2 kinds not 22:00-7:00 Tue 10:00 3"
    assert failed == "    failed: A Connection error occurred"
    assert " ".join(mail.split()) == "mail mailtos://example.org/*** 2 kinds digest 8:00 never 3"


def test_without_targets_the_list_says_where_they_belong(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/notifications", {"file": "/etc/x/notify.toml", "targets": []})
    assert "/etc/x/notify.toml has no targets" in ctl("notify", "list").stdout


def test_a_test_says_what_came_of_each_target(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/notifications/test", [SENT, FAILED])
    done = ctl("notify", "test")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "phone (ntfys://***): sent in 1.2 s",
        "mail (mailtos://***): not sent: refused",
    ]
    assert daemon.asked[0].body == {}


def test_one_target_is_tested(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/notifications/test", [SENT])
    assert json.loads(ctl("notify", "test", "phone", "--json").stdout) == [SENT]
    assert daemon.asked[0].body == {"target": "phone"}


def test_an_unknown_target_is_an_error(ctl: Ctl, daemon: FakeDaemon) -> None:
    error = {"code": "bad_usage", "message": "no target is called 'x'", "hint": "there are phone", "line": ""}
    daemon.on("POST /v1/notifications/test", Answer({"error": error}, status=422))
    assert "no target is called 'x'" in ctl("notify", "test", "x").stderr
