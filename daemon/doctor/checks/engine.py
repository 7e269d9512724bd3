"""Is there a usable engine, and one that can use the GPU?"""

from daemon.doctor.checks.finding import Finding, Verdict, error, warning
from daemon.doctor.checks.input import DoctorInput
from domain.launches.plan import LLAMA_CPP
from domain.machine.hardware import InstalledEngine
from launchers.registry import INSTALL

# The back ends of engines that can use a vendor's GPUs
BACKENDS = {
    "nvidia": ("cuda", "vulkan"),
    "amd": ("rocm", "hip", "vulkan"),
    "intel": ("sycl", "xpu", "vulkan"),
}


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    engines = inputs.hardware.engines
    broken = tuple(
        warning(
            f"{engine.path}: {engine.problem}",
            why="this engine is not used",
            fix="install a build for this machine, or remove its path from the settings",
        )
        for engine in engines
        if engine.problem
    )
    usable = [engine for engine in engines if not engine.problem]
    if not usable:
        none = error("no engine can be used", why="nothing can be launched", fix=INSTALL[LLAMA_CPP])
        return (none, *broken)
    described = (Finding(Verdict.OK, _describe(engine)) for engine in usable)
    return (*broken, *_unsupported_gpus(inputs, usable), *described)


def _unsupported_gpus(inputs: DoctorInput, usable: list[InstalledEngine]) -> tuple[Finding, ...]:
    """Vendors whose GPUs no engine supports. An engine with unknown back ends may support any."""
    if any(not engine.backends for engine in usable):
        return ()
    backends = {backend for engine in usable for backend in engine.backends}
    return tuple(
        error(
            f"no installed engine supports GPUs of {vendor}: they have {', '.join(sorted(backends))}",
            why="models run on the CPU",
            fix=f"install a llama.cpp build with {' or '.join(BACKENDS[vendor])}, and set llama_server to it",
        )
        for vendor in sorted({gpu.vendor for gpu in inputs.hardware.gpus} & BACKENDS.keys())
        if not backends & set(BACKENDS[vendor])
    )


def _describe(engine: InstalledEngine) -> str:
    version = f" {engine.version}" if engine.version else ""
    backends = f" ({', '.join(engine.backends)})" if engine.backends else ""
    return f"{engine.engine}{version}{backends} at {engine.path}"
