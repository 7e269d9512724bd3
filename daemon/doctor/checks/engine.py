"""Is there an engine that can serve, and one that can use the GPU?"""

from daemon.doctor.checks.finding import Finding, Verdict, error, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import EngineFound
from domain.plan import LLAMA_CPP
from launchers.registry import INSTALL

# What an engine calls its way to a GPU
BACKENDS = {
    "nvidia": ("cuda", "vulkan"),
    "amd": ("rocm", "hip", "vulkan"),
    "intel": ("sycl", "xpu", "vulkan"),
}


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    found = facts.hardware.engines
    broken = tuple(
        warning(
            f"{engine.path}: {engine.problem}",
            why="this engine is passed over",
            fix="install a build for this machine, or take its path out of the settings",
        )
        for engine in found
        if engine.problem
    )
    usable = [engine for engine in found if not engine.problem]
    if not usable:
        nothing = error("no engine can be used", why="nothing can be launched", fix=INSTALL[LLAMA_CPP])
        return (nothing, *broken)
    return (*broken, *_blind(facts, usable), *(Finding(Verdict.OK, _words(one)) for one in usable))


def _blind(facts: DoctorInput, usable: list[EngineFound]) -> tuple[Finding, ...]:
    """GPUs that no engine here has code for; one that doesn't say what it has may have it."""
    if any(not engine.backends for engine in usable):
        return ()
    there = {backend for engine in usable for backend in engine.backends}
    return tuple(
        error(
            f"no engine here can use a GPU of {vendor}: they have {', '.join(sorted(there))}",
            why="models run on the CPU",
            fix=f"install a llama.cpp build with {' or '.join(BACKENDS[vendor])}, and set llama_server to it",
        )
        for vendor in sorted({gpu.vendor for gpu in facts.hardware.gpus} & BACKENDS.keys())
        if not there & set(BACKENDS[vendor])
    )


def _words(engine: EngineFound) -> str:
    version = f" {engine.version}" if engine.version else ""
    backends = f" ({', '.join(engine.backends)})" if engine.backends else ""
    return f"{engine.engine}{version}{backends} at {engine.path}"
