"""Is RAM free, and is nothing swapped out?"""

from daemon.checks.finding import Facts, Finding, Verdict
from domain.units import gib

LITTLE_SHARE = 0.1  # of all RAM
SWAPPED_SHARE = 0.5  # of the swap


def check(facts: Facts) -> tuple[Finding, ...]:
    memory = facts.hardware.memory
    total_bytes, free_bytes = memory.total_bytes, memory.available_bytes
    if total_bytes is None or free_bytes is None:
        return (Finding("memory", Verdict.WARNING, "not known", why="plans for the CPU have no bound"),)
    found = f"{gib(free_bytes)} of {gib(total_bytes)} free"
    if memory.cgroup_limit_bytes is not None:
        found += f", limited to {gib(memory.cgroup_limit_bytes)} by a control group"
    if free_bytes < LITTLE_SHARE * total_bytes:
        return (
            Finding(
                "memory",
                Verdict.WARNING,
                found,
                why="little is left for another model",
                fix="node-ctl ps shows what is served; stop what is not needed",
            ),
        )
    swap_bytes, left_bytes = memory.swap_total_bytes, memory.swap_free_bytes
    if swap_bytes and left_bytes is not None and left_bytes < SWAPPED_SHARE * swap_bytes:
        return (
            Finding(
                "memory",
                Verdict.WARNING,
                f"{found}; {gib(swap_bytes - left_bytes)} swapped out",
                why="a model that is swapped out answers at the speed of the disk",
                fix="stop a model, or plan with a smaller context",
            ),
        )
    return (Finding("memory", Verdict.OK, found),)
