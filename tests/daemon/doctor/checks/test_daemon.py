"""A daemon that does not answer, died, or was restarted."""

import pytest

from daemon.doctor.checks import daemon
from daemon.doctor.checks.input import Daemon
from daemon.state.records import Event
from probes.system.systemd import Unit
from tests.daemon.doctor.checks.build import (
    ERROR,
    HEALTHY,
    NOT_KNOWN,
    OK,
    WARNING,
    Case,
    case_id,
    inputs,
    judge,
)


def died(kind: str, day: int) -> Event:
    return Event(
        day, f"2026-11-{day}T08:00:00.000+00:00", kind, None, "the daemon of 2026-11-01 did not shut down"
    )


CASES = [
    Case("it answers", HEALTHY, (OK,), ("answers, up 1 h 02 min",)),
    Case(
        "it does not run",
        inputs(
            daemon=Daemon("no node-daemon is running", "sudo systemctl start node-daemon"),
            unit=Unit("node-daemon.service", "failed", "failed", "signal", 7),
        ),
        (ERROR,),
        ("no node-daemon is running; systemd reports failed, last result signal", "systemctl start"),
    ),
    Case(
        "it runs, and this user may not reach it",
        inputs(
            daemon=Daemon("no permission to open /run/node-daemon/node-daemon.sock", "join its group"),
            unit=Unit("node-daemon.service", "active", "running", "success", 0, 77),
        ),
        (ERROR,),
        ("no permission to open", "the service is running", "join its group"),
    ),
    Case(
        "another program has the gateway's port",
        inputs(daemon=Daemon(gateway_problem="127.0.0.1:8411 can't be used: Address already in use")),
        (WARNING,),
        ("does not listen: 127.0.0.1:8411 can't be used", "ss -ltnp", "set listen"),
    ),
    Case("the events can't be read", inputs(events=None), (NOT_KNOWN,)),
    Case(
        "it died recently",
        inputs(events=(died("daemon_died", 24), died("daemon_died", 25))),
        (WARNING,),
        ("died twice in 7 days, last at 2026-11-25", "journalctl -u node-daemon", "--report"),
    ),
    Case("it died long ago", inputs(events=(died("daemon_died", 17),)), (OK,)),
    Case(
        "the machine went down under it",
        inputs(events=(died("machine_died", 24),)),
        (WARNING,),
        ("went down without a shutdown once", "journalctl -b -1"),
    ),
    Case(
        "systemd restarts it again and again",
        inputs(daemon=Daemon(as_service=True), unit=Unit("node-daemon.service", "active", restarts=4)),
        (WARNING,),
        ("systemd restarted the service 4 times",),
    ),
    Case(
        "the service dies, and this daemon is another",
        inputs(unit=Unit("node-daemon.service", "active", restarts=4)),
        (OK,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_daemon_that_fails(case: Case) -> None:
    judge(daemon.check, case)
