"""May engines lock their weights in RAM?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import gib


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    """Of the unit that runs the engines where another process looks, else of this process, whose
    engines inherit it."""
    unit, memory = facts.unit, facts.hardware.memory
    of_unit = unit is not None and not facts.daemon.as_service and bool(facts.daemon.silent)
    if unit is not None and of_unit:
        limit_bytes, unlimited = unit.memlock_bytes, unit.memlock_unlimited
    else:
        limit_bytes, unlimited = memory.memlock_limit_bytes, memory.memlock_unlimited
    who = "the service" if of_unit or facts.daemon.as_service else "this user"
    if unlimited:
        return ok(f"unlimited for {who}")
    if limit_bytes is None or memory.total_bytes is None:
        return not_known("how much may be locked")
    if limit_bytes >= memory.total_bytes:
        return ok(f"{gib(limit_bytes)} for {who}")
    if unit is not None and unit.memlock_unlimited and facts.daemon.as_service:
        fix = "the unit asks for all and systemd may not give it: raise memlock of the container around it"
    elif who == "the service":
        fix = "sudo systemctl edit node-daemon, add [Service] and LimitMEMLOCK=infinity, then restart it"
    else:
        fix = (
            "run it as the service (sudo node-ctl service install --now), or raise memlock in limits.conf(5)"
        )
    return (
        warning(
            f"{gib(limit_bytes)} of {gib(memory.total_bytes)} RAM may be locked by {who}",
            why="weights that can't be locked may be dropped from RAM, and an answer then waits for the disk",
            fix=fix,
        ),
    )
