"""DGX Spark: does CUDA count cached files as used memory?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import MemoryKind
from domain.units import gib

# Shares of the RAM without another source: much is cached, and CUDA sees less than half as free
LARGE_SHARE = 0.25
FREE_SHARE = 0.5


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    unified = [gpu for gpu in inputs.hardware.gpus if gpu.memory_kind is MemoryKind.UNIFIED]
    if not any(gpu.vendor == "nvidia" for gpu in unified):
        return ()
    cached_bytes, free_bytes = inputs.system.page_cache_bytes, inputs.system.free_bytes
    total_bytes = inputs.hardware.memory.total_bytes
    if cached_bytes is None or free_bytes is None or total_bytes is None:
        return not_known("how much RAM holds cached files")
    found = f"{gib(cached_bytes)} of cached files, {gib(free_bytes)} unused"
    if cached_bytes < LARGE_SHARE * total_bytes or free_bytes >= FREE_SHARE * total_bytes:
        return ok(found)
    # docs.nvidia.com/dgx/dgx-spark/known-issues.html; github.com/vllm-project/vllm/issues/35313 and 48140
    return (
        warning(
            found,
            why="cudaMemGetInfo counts cached files as used memory, and vLLM refuses to start",
            fix="sync && echo 3 | sudo tee /proc/sys/vm/drop_caches, then launch the refused model again",
        ),
    )
