"""Are huge pages reserved that no engine uses?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import MemoryKind
from domain.units import gib

RELEASE = (
    "sudo sysctl vm.nr_hugepages=0, and remove the setting from /etc/sysctl.d and the kernel command line"
)


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    memory = inputs.hardware.memory
    reserved_bytes, free_bytes = memory.hugepages_total_bytes, memory.hugepages_free_bytes
    if reserved_bytes is None:
        return not_known("how many huge pages are reserved")
    if not reserved_bytes:
        return ok("none are reserved")
    found = f"{gib(reserved_bytes)} reserved, {gib(free_bytes)} of them unused"
    unified = [gpu for gpu in inputs.hardware.gpus if gpu.memory_kind is MemoryKind.UNIFIED]
    why = "no engine can use this memory"
    if any(gpu.vendor == "nvidia" for gpu in unified):
        # ggml-cuda.cu, ggml_backend_cuda_get_available_uma_memory: HugePages_Free where any are configured
        why = "llama.cpp counts only the unused huge pages as free memory, and offloads next to nothing"
    return (warning(found, why=why, fix=RELEASE),)
