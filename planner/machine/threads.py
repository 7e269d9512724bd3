"""How many threads an engine gets."""

from domain.hardware import Cpu
from planner.machine.calibration import Calibration

# A full offload leaves the CPU sampling and feeding: more threads only spin.
OFFLOADED_THREADS = 4


def decode_threads(cpu: Cpu, calibration: Calibration, *, on_host: bool) -> int:
    """Performance cores within what this process may use; one for each, hyper-threads share a core's
    multipliers. A quota of one and a half CPUs is one thread: two would wait for each other."""
    most = usable(cpu)
    if not on_host:
        return min(most, OFFLOADED_THREADS)
    if calibration.threads:
        return min(most, calibration.threads)
    cores = cpu.performance_cores or cpu.physical_cores
    return max(1, min(most, cores or most))


def batch_threads(cpu: Cpu, calibration: Calibration, decode: int, *, on_host: bool) -> int:
    """Prompts are arithmetic: all cores help, efficiency cores too."""
    if not on_host:
        return decode
    if calibration.threads_batch:
        return min(usable(cpu), calibration.threads_batch)
    return max(decode, min(usable(cpu), cpu.physical_cores or decode))


def usable(cpu: Cpu) -> int:
    """At least 1."""
    logical = cpu.usable_cpus or cpu.logical_cpus or cpu.physical_cores or 1
    return max(1, min(logical, int(cpu.quota_cpus))) if cpu.quota_cpus else max(1, logical)
