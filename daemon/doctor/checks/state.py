"""Was the state of the daemon damaged, and replaced by a copy?"""

from daemon.doctor.checks.daemon import PERIOD, recent_events
from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.events import EventKind


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.events is None:
        return not_known("whether the state is whole: its events can't be read")
    recovered = recent_events(inputs, EventKind.STATE_RECOVERED)
    if not recovered:
        return ok(f"no damage of the state in {PERIOD.days} days")
    return (
        warning(
            f"{recovered[-1].at}: {recovered[-1].message}",
            why="a disk, its cable or the RAM may be failing; it would damage weights, too",
            fix="node-ctl ps shows what is served; launch what is missing, stop what should not be there; "
            "see journalctl -k and smartctl -a for errors of the disk",
        ),
    )
