"""May engines lock their weights in RAM?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import gib


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    """The limit of the unit if another process answers in its place, else that of this process, whose engines
    inherit it."""
    unit, memory = inputs.unit, inputs.hardware.memory
    of_unit = unit is not None and not inputs.daemon.as_service and bool(inputs.daemon.unreachable)
    if unit is not None and of_unit:
        limit_bytes, unlimited = unit.memlock_bytes, unit.memlock_unlimited
    else:
        limit_bytes, unlimited = memory.memlock_limit_bytes, memory.memlock_unlimited
    subject = "the service" if of_unit or inputs.daemon.as_service else "this user"
    if unlimited:
        return ok(f"unlimited for {subject}")
    if limit_bytes is None or memory.total_bytes is None:
        return not_known("how much RAM may be locked")
    if limit_bytes >= memory.total_bytes:
        return ok(f"{gib(limit_bytes)} for {subject}")
    if unit is not None and unit.memlock_unlimited and inputs.daemon.as_service:
        fix = "the unit asks for infinity and did not get it: raise the memlock limit of the container"
    elif subject == "the service":
        fix = "sudo systemctl edit node-daemon, add [Service] and LimitMEMLOCK=infinity, then restart it"
    else:
        fix = (
            "run it as the service (sudo node-ctl service install --now), or raise memlock in limits.conf(5)"
        )
    return (
        warning(
            f"{gib(limit_bytes)} of {gib(memory.total_bytes)} RAM may be locked by {subject}",
            why="weights that are not locked can be evicted from RAM, and answers then wait for the disk",
            fix=fix,
        ),
    )
