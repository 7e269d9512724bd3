"""``node-ctl events``: a line each, or the daemon's own JSON."""

import json

import pytest

from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

EVENTS = tuple(
    json.dumps(
        {"id": n, "at": "2026-01-02T03:04:05", "kind": "ready", "launch": "smol", "message": f"up {n}"}
    )
    for n in (1, 2)
)


def test_events_are_lines_and_with_json_the_daemons_own(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/events", Answer(lines=EVENTS))
    out = ctl("events", "--since", "3").stdout
    assert daemon.asked[0].query == {"since": "3", "follow": "false"}
    assert out.splitlines()[0].split() == ["1", "2026-01-02T03:04:05", "ready", "smol:", "up", "1"]
    assert tuple(ctl("events", "--json").stdout.splitlines()) == EVENTS


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("smol answers on port 1", "smol answers on port 1"),
        ("smol: context 1024 (was 8192)", "smol: context 1024 (was 8192)"),
        ("the engine of smol is gone", "the engine of smol is gone"),
        ("smolder is gone", "smol: smolder is gone"),
        ("GPU0 is gone", "smol: GPU0 is gone"),
    ],
)
def test_an_event_has_the_name_of_its_launch_once(
    ctl: Ctl, daemon: FakeDaemon, message: str, shown: str
) -> None:
    event = {"id": 1, "at": "now", "kind": "any", "launch": "smol", "message": message}
    daemon.on("GET /v1/events", Answer(lines=(json.dumps(event),)))
    assert " ".join(ctl("events").stdout.split()) == f"1 now any {shown}"
