"""Does the daemon answer, and has it or the machine died lately?"""

from datetime import datetime, timedelta

from daemon.doctor.checks.finding import Finding, error, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import duration

# Kinds of the events that a start writes when the last daemon had no orderly end
DAEMON_DIED = "daemon_died"
MACHINE_DIED = "machine_died"
LATELY = timedelta(days=7)


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    if facts.daemon.silent:
        return (_silent(facts),)
    if facts.events is None:
        return not_known("the daemon answers; what happened before can't be read")
    found = (*_died(facts), *_went_down(facts), *_restarted(facts))
    return found or ok(f"answers, up {duration(facts.daemon.uptime_s)}")


def _silent(facts: DoctorInput) -> Finding:
    unit = facts.unit
    if unit and unit.active == "active":
        why = "the service runs, and node-ctl can't ask it"
        return error(facts.daemon.silent, why=why, fix=facts.daemon.hint)
    ended = f"; systemd says {unit.active}, last result {unit.result}" if unit and unit.result else ""
    why = "nothing that fails is started again while no daemon runs"
    return error(f"{facts.daemon.silent}{ended}", why=why, fix=facts.daemon.hint)


def _died(facts: DoctorInput) -> tuple[Finding, ...]:
    last = _lately(facts, DAEMON_DIED)
    if not last:
        return ()
    return (
        warning(
            f"died {last}",
            why="its engines go on and are adopted, yet nobody watched them meanwhile",
            fix="journalctl -u node-daemon (or node-daemon.log.1 beside the state) tells why; "
            "node-ctl doctor --report FILE gathers what a bug report needs",
        ),
    )


def _went_down(facts: DoctorInput) -> tuple[Finding, ...]:
    last = _lately(facts, MACHINE_DIED)
    if not last:
        return ()
    return (
        warning(
            f"the machine went down without warning {last}",
            why="power, heat, or a GPU that took all of the shared memory: it will happen again",
            fix="journalctl -b -1 -e shows the last lines before it; look for NVRM, amdgpu, thermal and oom",
        ),
    )


def _restarted(facts: DoctorInput) -> tuple[Finding, ...]:
    restarts = facts.unit.restarts if facts.unit and facts.daemon.as_service else None
    if not restarts:
        return ()
    return (
        warning(
            f"systemd had to start it again {_times(restarts)}",
            why="a daemon that dies again and again serves by luck",
            fix="journalctl -u node-daemon tells why; sudo systemctl restart node-daemon counts anew",
        ),
    )


def _lately(facts: DoctorInput, kind: str) -> str:
    """``"twice in 7 days, last 2026-11-20T..."``; empty where it did not happen."""
    now = datetime.fromisoformat(facts.now)
    times = [one.at for one in facts.events or () if one.kind == kind]
    lately = [at for at in times if now - datetime.fromisoformat(at) <= LATELY]
    return f"{_times(len(lately))} in {LATELY.days} days, last at {lately[-1]}" if lately else ""


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
