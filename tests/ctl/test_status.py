"""What ``node-ctl status`` makes of the daemon's answers."""

import getpass
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctl.show.status import health_line, next_steps, reasons, served_line
from domain.last_day import day_lines, last_day
from domain.launches.launch import LaunchState
from domain.launches.serving import Policy
from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.answers import ROW, STATUS
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
WELL = STATUS | {"problems": []}
QUIET = last_day([], NOW)


def event(
    hours_ago: float, level: str = "warning", kind: str = "died", message: str = "it died"
) -> dict[str, Any]:
    at = (NOW - timedelta(hours=hours_ago)).isoformat()
    return {"id": 1, "at": at, "kind": kind, "launch": "smol", "message": message, "level": level}


def test_of_the_last_day_warnings_and_errors_count_by_kind() -> None:
    events = [
        event(25),
        event(23),
        event(3, "error", "failed", "smol failed"),
        event(2),
        event(1, "info", "ready"),
    ]
    day = last_day(events, NOW)
    assert day.levels == {"warning": 2, "error": 1, "info": 1}
    head, *told = day_lines(day)
    assert head == "1 error, 2 warnings: died 2, failed 1"
    assert [line.split("  ")[1] for line in told] == ["smol: it died", "smol failed", "smol: it died"]


def test_only_the_last_events_are_shown_and_where_the_rest_is() -> None:
    day = last_day([event(20 - number, message=f"number {number}") for number in range(12)], NOW)
    assert [line.rpartition(" ")[2] for line in day_lines(day)[1:]] == [
        str(number) for number in range(4, 12)
    ]
    assert next_steps(WELL, [ROW], day) == ["node-ctl events tells the rest"]


def test_a_quiet_day_says_so() -> None:
    assert day_lines(last_day([event(1, "info", "ready")], NOW)) == ["nothing went wrong, 1 event"]


def test_what_was_done_is_told_beside_what_went_wrong() -> None:
    day = last_day([event(3), event(2.9, "info", "restarted", "smol is restarted")], NOW)
    head, *told = day_lines(day)
    assert head == "1 warning: died 1; then restarted 1"
    assert [line.split("  ")[1] for line in told] == ["smol: it died", "smol is restarted"]
    assert day.kinds == {"died": 1, "restarted": 1}
    then = (NOW - timedelta(hours=3)).astimezone()
    assert health_line(WELL, [ROW], day).endswith(f"{then.day} {then:%b %H:%M}"), "well since it died"


def test_a_day_whose_early_events_are_not_stored_any_more_says_so() -> None:
    late = [event(2) | {"id": 70}, event(1) | {"id": 71}]
    assert day_lines(last_day(late, NOW))[0] == "2 warnings: died 2; earlier ones are not stored any more"
    assert not last_day([event(25) | {"id": 69}, *late], NOW).is_cut
    assert not last_day([event(2) | {"id": 1}], NOW).is_cut


@pytest.mark.parametrize("at", ["", "yesterday", "2026-12-01T07:00:00"])
def test_a_time_without_a_zone_or_that_is_none_is_no_fault(at: str) -> None:
    assert len(last_day([event(1) | {"at": at}], NOW).notable) == (1 if "T" in at else 0)


def test_a_start_of_no_time_is_no_fault() -> None:
    assert health_line(WELL | {"since": "now"}, [ROW], QUIET) == "well"


def test_it_is_well_since_the_last_that_went_wrong_or_since_the_daemon_runs() -> None:
    started = datetime.fromisoformat(WELL["since"]).astimezone()
    assert health_line(WELL, [ROW], QUIET) == f"well since {started.day} {started:%b %H:%M}"
    wrong = last_day([event(2)], NOW)
    then = (NOW - timedelta(hours=2)).astimezone()
    assert health_line(WELL, [ROW], wrong) == f"well since {then.day} {then:%b %H:%M}"


@pytest.mark.parametrize(
    ("state", "well"),
    [
        (LaunchState.READY, True),
        (LaunchState.STOPPED, True),
        (LaunchState.FAILED, False),
        (LaunchState.DEGRADED, False),
    ],
)
def test_a_launch_that_fails_is_not_well_and_has_a_next_step(state: LaunchState, well: bool) -> None:
    rows = [replace(ROW, state=state)]
    assert (reasons(WELL, rows) == [], next_steps(WELL, rows, QUIET) == []) == (well, well)


def test_what_is_served_and_how() -> None:
    waits = replace(
        ROW, name="coder", state=LaunchState.STOPPED, policy=Policy.ON_DEMAND, starts_on_request=True
    )
    waits = replace(waits, decode_tokens_per_s=None, restarts=0)
    assert served_line([waits]) == "coder (stopped, on demand)"
    assert served_line([]) == "nothing: node-ctl launch MODEL"
    assert next_steps(WELL, [replace(ROW, reduced="8192 tokens")], QUIET) == [
        "smol runs with less: 8192 tokens"
    ]


def test_status_is_health_what_is_served_the_last_day_and_what_to_do(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/status", answers.STATUS)
    daemon.on("GET /v1/launches", [to_json(answers.ROW), to_json(answers.FAILED_ROW)])
    assert ctl("status").stdout.splitlines() == [
        "node-daemon 0.1.0, pid 77, up 1 h 02 min",
        "health    not well: big is failed; disk: 5 GiB are left",
        "launches  1 ready, 1 failed",
        "serves    smol (ready, 91 tokens/s), big (failed)",
        "problem   disk: 5 GiB are left",
        "last day  nothing went wrong, 0 events",
        "to do     disk: free some",
        "to do     node-ctl logs big tells why; node-ctl start big tries again",
        f"user      {getpass.getuser()}",
        "state     /s",
        "models    /m",
        "socket    /s/node-daemon.sock",
    ]


@pytest.mark.parametrize(
    ("hours_ago", "asked"), [(1, ["500", "10000"]), (30, ["500"])], ids=["all of the day", "one is older"]
)
def test_of_a_day_with_many_events_all_are_read(
    ctl: Ctl, daemon: FakeDaemon, hours_ago: int, asked: list[str]
) -> None:
    at = (datetime.now(UTC) - timedelta(hours=hours_ago)).isoformat()
    told = tuple(json.dumps(event(0) | {"at": at}) for _ in range(500))
    daemon.on("GET /v1/status", answers.STATUS)
    daemon.on("GET /v1/events", Answer(lines=told))
    ctl("status", "--json")
    assert [one.query["last"] for one in daemon.asked if one.path == "/v1/events"] == asked
