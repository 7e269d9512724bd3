"""May engines lock their weights in RAM?"""

from daemon.checks.finding import Facts, Finding, Verdict
from domain.units import gib


def check(facts: Facts) -> tuple[Finding, ...]:
    memory = facts.hardware.memory
    if memory.memlock_unlimited:
        return (Finding("memlock", Verdict.OK, "unlimited"),)
    limit_bytes, total_bytes = memory.memlock_limit_bytes, memory.total_bytes
    if limit_bytes is None or total_bytes is None or limit_bytes >= total_bytes:
        return (Finding("memlock", Verdict.OK, gib(limit_bytes)),)
    return (
        Finding(
            "memlock",
            Verdict.WARNING,
            f"{gib(limit_bytes)} of {gib(total_bytes)} RAM may be locked",
            why="weights that can't be locked may be dropped from RAM, and an answer then waits for the disk",
            fix="run as the service (node-ctl service install), or raise the limit memlock",
        ),
    )
