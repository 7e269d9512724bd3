"""Is anything swapped out?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import gib

# Of the swap. A rule of thumb, of no other source: cold pages of idle programs rarely fill that much
SWAPPED_SHARE = 0.5


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    memory = facts.hardware.memory
    swap_bytes, left_bytes = memory.swap_total_bytes, memory.swap_free_bytes
    if swap_bytes is None or left_bytes is None:
        return not_known("how much swap there is")
    if not swap_bytes:
        return ok("no swap")
    used_bytes = swap_bytes - left_bytes
    found = f"{gib(used_bytes)} of {gib(swap_bytes)} swapped out"
    if left_bytes >= SWAPPED_SHARE * swap_bytes:
        return ok(found)
    return (
        warning(
            found,
            why="a model that is swapped out answers at the speed of the disk",
            fix="stop a model, or launch it with a smaller --context; sudo swapoff -a && sudo swapon -a "
            "brings back what fits",
        ),
    )
