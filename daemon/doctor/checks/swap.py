"""Is much of the memory swapped out?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import gib

# Of the swap: a rule of thumb without another source. Unused pages of idle programs rarely need that much
USED_SHARE = 0.5


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    memory = inputs.hardware.memory
    total_bytes, free_bytes = memory.swap_total_bytes, memory.swap_free_bytes
    if total_bytes is None or free_bytes is None:
        return not_known("how much swap is used")
    if not total_bytes:
        return ok("no swap")
    found = f"{gib(total_bytes - free_bytes)} of {gib(total_bytes)} swap used"
    if free_bytes >= (1 - USED_SHARE) * total_bytes:
        return ok(found)
    return (
        warning(
            found,
            why="a model that is swapped out runs at the speed of the disk",
            fix="stop a model, or launch it with a smaller --context; sudo swapoff -a && sudo swapon -a "
            "brings back what fits",
        ),
    )
