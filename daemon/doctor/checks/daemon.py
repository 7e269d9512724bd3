"""Does the daemon answer, at the address for clients, too, and have it or the machine died recently?"""

from datetime import datetime, timedelta

from daemon.doctor.checks.finding import Finding, error, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from daemon.state.records import Event
from domain.events import EventKind
from domain.units import duration

PERIOD = timedelta(days=7)


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.daemon.unreachable:
        return (_unreachable(inputs),)
    if inputs.events is None:
        return not_known("whether the daemon died before: its events can't be read")
    findings = (*_gateway(inputs), *_died(inputs), *_machine_died(inputs), *_restarted(inputs))
    return findings or ok(f"answers, up {duration(inputs.daemon.uptime_s)}")


def _unreachable(inputs: DoctorInput) -> Finding:
    unit, daemon = inputs.unit, inputs.daemon
    if unit and unit.active == "active":
        return error(
            daemon.unreachable, why="the service is running, but node-ctl can't reach it", fix=daemon.hint
        )
    state = f"; systemd reports {unit.active}, last result {unit.result}" if unit and unit.result else ""
    why = "models that fail are not restarted while no daemon runs"
    return error(f"{daemon.unreachable}{state}", why=why, fix=daemon.hint)


def _gateway(inputs: DoctorInput) -> tuple[Finding, ...]:
    problem = inputs.daemon.gateway_problem
    if problem is None:
        return ()
    return (
        warning(
            f"the gateway does not listen: {problem}",
            why="clients of the one address for all models get no answer; engines serve at their own ports",
            fix="ss -ltnp shows who has the port: end that program, or set listen to another address",
        ),
    )


def _died(inputs: DoctorInput) -> tuple[Finding, ...]:
    times = _recent(inputs, EventKind.DAEMON_DIED)
    if not times:
        return ()
    return (
        warning(
            f"the daemon died {times}",
            why="its engines kept running and were adopted, but nothing supervised them in between",
            fix="see journalctl -u node-daemon (or node-daemon.log.1 in the state folder) for the cause; "
            "node-ctl doctor --report FILE collects what a bug report needs",
        ),
    )


def _machine_died(inputs: DoctorInput) -> tuple[Finding, ...]:
    times = _recent(inputs, EventKind.MACHINE_DIED)
    if not times:
        return ()
    return (
        warning(
            f"the machine went down without a shutdown {times}",
            why="power, heat, or a GPU that used all of the shared memory: it is likely to happen again",
            fix="journalctl -b -1 -e shows the last lines before it; look for NVRM, amdgpu, thermal and oom",
        ),
    )


def _restarted(inputs: DoctorInput) -> tuple[Finding, ...]:
    restarts = inputs.unit.restarts if inputs.unit and inputs.daemon.as_service else None
    if not restarts:
        return ()
    return (
        warning(
            f"systemd restarted the service {_times(restarts)}",
            why="while a daemon that keeps failing is restarted, nothing supervises its models",
            fix="see journalctl -u node-daemon for the cause; sudo systemctl restart node-daemon "
            "resets the count",
        ),
    )


def _recent(inputs: DoctorInput, kind: EventKind) -> str:
    """``"twice in 7 days, last at 2026-11-20T..."``; empty if it did not happen."""
    recent = recent_events(inputs, kind)
    return f"{_times(len(recent))} in {PERIOD.days} days, last at {recent[-1].at}" if recent else ""


def recent_events(inputs: DoctorInput, kind: EventKind) -> list[Event]:
    """Those of the last PERIOD, the oldest first."""
    now = datetime.fromisoformat(inputs.now)
    events = [event for event in inputs.events or () if event.kind == kind]
    return [event for event in events if now - datetime.fromisoformat(event.at) <= PERIOD]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
