"""The number of threads that llama.cpp gets."""

from domain.machine.hardware import Cpu
from planner.machine.calibration import Calibration

# With all layers on GPUs the CPU only samples and submits work: more threads would spin.
OFFLOADED_THREADS = 4


def decode_threads(cpu: Cpu, calibration: Calibration, *, on_host: bool) -> int:
    """One per performance core that this process may use: hyper-threads share a core's multipliers. A quota
    of 1.5 CPUs gives one thread, because two would wait for each other."""
    max_threads = usable_cpus(cpu)
    if not on_host:
        return min(max_threads, OFFLOADED_THREADS)
    if calibration.threads:
        return min(max_threads, calibration.threads)
    cores = cpu.performance_cores or cpu.physical_cores
    return max(1, min(max_threads, cores or max_threads))


def batch_threads(cpu: Cpu, calibration: Calibration, decode_threads: int, *, on_host: bool) -> int:
    """Prompts are bound by arithmetic: efficiency cores help, too."""
    if not on_host:
        return decode_threads
    if calibration.threads_batch:
        return min(usable_cpus(cpu), calibration.threads_batch)
    return max(decode_threads, min(usable_cpus(cpu), cpu.physical_cores or decode_threads))


def usable_cpus(cpu: Cpu) -> int:
    """Logical CPUs within the quota, at least 1."""
    logical_cpus = cpu.usable_cpus or cpu.logical_cpus or cpu.physical_cores or 1
    return max(1, min(logical_cpus, int(cpu.quota_cpus))) if cpu.quota_cpus else max(1, logical_cpus)
