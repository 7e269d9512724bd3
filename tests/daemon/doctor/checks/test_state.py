"""A state that was damaged, and what replaced it."""

import pytest

from daemon.doctor.checks import state
from daemon.state.records import Event
from domain.events import EventKind
from tests.daemon.doctor.checks.build import NOT_KNOWN, OK, WARNING, Case, case_id, inputs, judge


def recovered(day: int) -> Event:
    message = (
        "the state was damaged (file is not a database), kept as /var/lib/node-daemon/state.db.damaged-"
        f"202611{day}T080000; taken from the copy of 2026-11-{day}T07:40:00+00:00: what was changed since "
        "then is lost"
    )
    return Event(day, f"2026-11-{day}T08:00:00.000+00:00", EventKind.STATE_RECOVERED, None, message)


CASES = [
    Case("whole", inputs(events=()), (OK,)),
    Case("its events can't be read", inputs(events=None), (NOT_KNOWN,)),
    Case(
        "damaged recently",
        inputs(events=(recovered(24), recovered(25))),
        (WARNING,),
        ("2026-11-25T08:00", "kept as", "smartctl"),
    ),
    Case("damaged long ago", inputs(events=(recovered(10),)), (OK,)),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_state(case: Case) -> None:
    judge(state.check, case)
