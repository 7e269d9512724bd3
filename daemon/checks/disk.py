"""Is there room for state and weights?"""

from daemon.checks.finding import Facts, Finding, Verdict
from domain.units import gib


def check(facts: Facts) -> tuple[Finding, ...]:
    if facts.low_disks:
        return tuple(
            Finding(
                "disk",
                Verdict.WARNING,
                f"{path} has {gib(left_bytes)} free",
                why="downloads are refused, and state may not be written",
                fix="remove models that are not used, or set models_dir to another disk",
            )
            for path, left_bytes in facts.low_disks.items()
        )
    storage = facts.hardware.storage
    free_bytes = storage.free_bytes if storage else None
    return (Finding("disk", Verdict.OK, f"{gib(free_bytes)} free for models"),)
