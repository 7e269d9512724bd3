"""DGX Spark: does cached data look like used memory to CUDA?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import MemoryKind
from domain.units import gib

# Shares of the RAM, of no other source: much is cached, and what CUDA sees as free is less than half
LARGE_SHARE = 0.25
FREE_SHARE = 0.5


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    shares = [gpu for gpu in facts.hardware.gpus if gpu.memory_kind is MemoryKind.UNIFIED]
    if not any(gpu.vendor == "nvidia" for gpu in shares):
        return ()
    cached_bytes, free_bytes = facts.system.page_cache_bytes, facts.system.free_bytes
    total_bytes = facts.hardware.memory.total_bytes
    if cached_bytes is None or free_bytes is None or total_bytes is None:
        return not_known("how much RAM holds cached files")
    found = f"{gib(cached_bytes)} of cached files, {gib(free_bytes)} quite free"
    if cached_bytes < LARGE_SHARE * total_bytes or free_bytes >= FREE_SHARE * total_bytes:
        return ok(found)
    # docs.nvidia.com/dgx/dgx-spark/known-issues.html; github.com/vllm-project/vllm/issues/35313 and 48140
    return (
        warning(
            found,
            why="cudaMemGetInfo takes cached files for used memory, and vLLM refuses to start",
            fix="sync && echo 3 | sudo tee /proc/sys/vm/drop_caches, then launch what was refused",
        ),
    )
