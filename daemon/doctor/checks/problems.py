"""What else the probes could not read or found wrong."""

from daemon.doctor.checks.finding import Finding, ok, warning
from daemon.doctor.checks.input import DoctorInput


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    """Those that have a check of their own (``trouble``) are told there."""
    rest = tuple(
        warning(f"{problem.source}: {problem.what}", why="plans know less of the machine", fix=problem.hint)
        for problem in facts.hardware.problems
        if problem.trouble is None
    )
    return rest or ok("every probe could read what it looked for")
