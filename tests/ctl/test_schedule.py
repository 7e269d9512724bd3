"""``node-ctl schedule``: what it asks of the daemon, and how it shows the answer."""

import json

from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

ROW = {
    "id": 3,
    "action": "swap",
    "names": ["coder", "writer"],
    "words": "every night 2:30-6:00",
    "begin": "30 2 * * *",
    "end": "0 6 * * *",
    "missed": "run",
    "free_bytes": None,
    "next": "2026-12-01T02:30:00+00:00",
    "is_open": False,
    "last": {
        "at": "2026-11-30T06:00:00+00:00",
        "result": "writer is stopped; coder is ready",
        "failed": False,
    },
}


def test_a_schedule_is_added_in_the_words_of_its_owner(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/schedules", Answer(ROW, status=201))
    out = ctl("schedule", "add", "every night 2:30-6:00", "swap", "coder", "writer", TZ="UTC").stdout
    assert out == "schedule 3: swap coder writer, next Tue 2026-12-01 02:30\n"
    assert daemon.asked[0].body == {
        "words": "every night 2:30-6:00",
        "action": "swap",
        "names": ["coder", "writer"],
        "missed": "run",
    }


def test_the_list_shows_the_next_time_and_what_came_of_the_last(ctl: Ctl, daemon: FakeDaemon) -> None:
    failed = ROW | {
        "id": 4,
        "last": {"at": ROW["next"], "result": "no launch is called 'coder'", "failed": True},
    }
    daemon.on("GET /v1/schedules", Answer([ROW, failed, ROW | {"id": 5, "last": None}]))
    out = ctl("schedule", "list", TZ="UTC").stdout.splitlines()
    assert [" ".join(line.split()) for line in out] == [
        "ID WHAT WHEN NEXT",
        "3 swap coder writer every night 2:30-6:00 Tue 2026-12-01 02:30",
        "Mon 2026-11-30 06:00: writer is stopped; coder is ready",
        "4 swap coder writer every night 2:30-6:00 Tue 2026-12-01 02:30",
        "Tue 2026-12-01 02:30: failed: no launch is called 'coder'",
        "5 swap coder writer every night 2:30-6:00 Tue 2026-12-01 02:30",
    ]
    assert json.loads(ctl("schedule", "list", "--json").stdout)[0] == ROW
