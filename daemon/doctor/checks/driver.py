"""Do the GPUs have their drivers, and do the drivers fit their libraries?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import ProblemKind

WHY = {
    ProblemKind.DRIVER: "no engine that starts now can use the GPU",
    ProblemKind.LOST: "the GPU fell off the bus: what ran on it is gone, and a reset rarely brings it back",
}


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    bad = tuple(
        error(problem.what, why=WHY[problem.trouble], fix=problem.hint)
        for problem in facts.hardware.problems
        if problem.trouble in WHY
    )
    if bad or not facts.hardware.gpus:
        return bad
    silent = [gpu.name for gpu in facts.hardware.gpus if gpu.driver is None]
    if silent:
        return not_known(f"the driver of {', '.join(silent)} does not say what it is")
    return ok(", ".join(sorted({gpu.driver for gpu in facts.hardware.gpus if gpu.driver})))
