"""Are variables set that would change what is planned, and so do not reach engines?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    names = inputs.overriding_variables
    if names is None:
        return not_known("which variables are set")
    if not names:
        return ok("no variable is set that would change a plan")
    return (
        warning(
            f"set, but not passed on to engines: {', '.join(names)}",
            why="an engine that reads them takes other memory, options or ports than were planned",
            fix="remove them from the daemon's environment, and give options to node-ctl launch; or name "
            "them in the setting engine_environment, if engines are to get them all the same",
        ),
    )
