"""What else could the probes not read, or is wrong?"""

from daemon.doctor.checks.finding import Finding, ok, warning
from daemon.doctor.checks.input import DoctorInput


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    """Problems with a kind (``trouble``) are reported by the check for it."""
    findings = tuple(
        warning(
            f"{problem.source}: {problem.what}", why="plans are made from incomplete data", fix=problem.hint
        )
        for problem in inputs.hardware.problems
        if problem.trouble is None
    )
    return findings or ok("all probes could read what they need")
