"""Is enough RAM free?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.units import gib

USES_SHOWN = 4
LOW_SHARE = 0.1  # of all RAM: a rule of thumb without another source


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    memory = inputs.hardware.memory
    total_bytes, free_bytes = memory.total_bytes, memory.available_bytes
    if total_bytes is None or free_bytes is None:
        return not_known("how much RAM is free, so plans for the CPU have no limit")
    found = f"{gib(free_bytes)} of {gib(total_bytes)} free"
    if memory.cgroup_limit_bytes is not None:
        found += f", limited to {gib(memory.cgroup_limit_bytes)} by a control group"
    if memory.arc_reclaimable_bytes:
        found += f", {gib(memory.arc_reclaimable_bytes)} of it in ZFS's cache (ARC), which gives it back"
    if free_bytes >= LOW_SHARE * total_bytes:
        return ok(found)
    largest = [f"{gib(use.size_bytes)} {use.name}" for use in inputs.system.memory_uses[:USES_SHOWN]]
    if largest:
        found += f"; in use: {', '.join(largest)}"
    fix = "node-ctl ps shows what is served; stop what is not needed"
    return (warning(found, why="little is left for another model", fix=fix),)
