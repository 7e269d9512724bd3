"""Do the GPUs have their drivers, and do the drivers match their libraries?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import ProblemKind

WHY = {
    ProblemKind.DRIVER: "engines that are started now can't use the GPU",
    ProblemKind.LOST: "the GPU fell off the bus: everything on it has failed, and a reset rarely recovers it",
}


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    errors = tuple(
        error(problem.what, why=WHY[problem.trouble], fix=problem.hint)
        for problem in inputs.hardware.problems
        if problem.trouble in WHY
    )
    gpus = inputs.hardware.gpus
    if errors or not gpus:
        return errors
    unknown = [gpu.name for gpu in gpus if gpu.driver is None]
    if unknown:
        return not_known(f"which driver {', '.join(unknown)} has")
    return ok(", ".join(sorted({gpu.driver for gpu in gpus if gpu.driver})))
