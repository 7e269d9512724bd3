"""Are huge pages reserved that no engine uses?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import MemoryKind
from domain.units import gib

FREE_THEM = "sudo sysctl vm.nr_hugepages=0, and take it out of /etc/sysctl.d and the kernel command line"


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    memory = facts.hardware.memory
    reserved_bytes, free_bytes = memory.hugepages_total_bytes, memory.hugepages_free_bytes
    if reserved_bytes is None:
        return not_known("how many huge pages are reserved")
    if not reserved_bytes:
        return ok("none are reserved")
    found = f"{gib(reserved_bytes)} reserved, {gib(free_bytes)} of them unused"
    unified = [gpu for gpu in facts.hardware.gpus if gpu.memory_kind is MemoryKind.UNIFIED]
    if any(gpu.vendor == "nvidia" for gpu in unified):
        # ggml-cuda.cu, ggml_backend_cuda_get_available_uma_memory: HugePages_Free where any are configured
        why = (
            "llama.cpp takes the unused huge pages for all the memory there is, and offloads next to nothing"
        )
        return (warning(found, why=why, fix=FREE_THEM),)
    return (warning(found, why="this memory is lost to every engine", fix=FREE_THEM),)
