"""A Mac under macOS: what sysctl(8) and psutil tell. Its GPU works in what Metal lends of the RAM."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.catalogue_types import KnownGpu
from domain.hardware import BandwidthSource, Cpu, Gpu, Hardware, Memory, MemoryKind, Problem, Storage
from domain.provenance import Certainty, Provenance
from domain.units import GIB, MIB
from probes import storage, sysfs
from probes.memo import Memo
from probes.result import sources

KEYS = (
    "machdep.cpu.brand_string",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.perflevel0.physicalcpu",
    "kern.osproductversion",
    "iogpu.wired_limit_mb",
)

# Of the RAM Metal lends two thirds to 36 GiB and three quarters above, unless iogpu.wired_limit_mb says
# otherwise: recommendedMaxWorkingSetSize as llama.cpp prints it, 22906 MB of 32 GiB, 51539 MB of 64 GiB
SMALL_BYTES, SMALL_SHARE, LARGE_SHARE = 36 * GIB, 2 / 3, 3 / 4

SYSCTL = Provenance("sysctl")
RATED = Provenance("table", Certainty.RATED, "by the chip's name: the RAM is the GPU's memory")
CPU_TOLD = dict.fromkeys(
    ("model", "physical_cores", "performance_cores", "logical_cpus", "usable_cpus"), SYSCTL
)
MEMORY_TOLD = {
    "total_bytes": SYSCTL,
    "available_bytes": Provenance("psutil"),
    **dict.fromkeys(("bandwidth_bytes_per_s", "bandwidth_source", "peak_bandwidth_bytes_per_s"), RATED),
}
TOLD = {
    **dict.fromkeys(("name", "driver", "memory_kind", "is_integrated"), SYSCTL),
    "memory_total_bytes": Provenance("sysctl", Certainty.ASSUMED, "the share that Metal lends by default"),
    "memory_free_bytes": Provenance("psutil", Certainty.DERIVED, "what is available, at most that share"),
    **dict.fromkeys(("bandwidth_bytes_per_s", "bandwidth_source"), RATED),
}
Run = Callable[[Sequence[str]], str]


def run_text(command: Sequence[str]) -> str:
    """Whatever a program prints; a key that sysctl doesn't know makes it fail and print the others."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def available_bytes() -> int | None:
    import psutil  # noqa: PLC0415 - only here: elsewhere /proc tells

    return int(psutil.virtual_memory().available)


def probe(
    models_dir: Path,
    known_gpus: Sequence[KnownGpu],
    run: Run = run_text,
    available: Callable[[], int | None] = available_bytes,
) -> Hardware:
    said = parse(run(["sysctl", *KEYS]))
    chip, total, free = (
        said.get("machdep.cpu.brand_string"),
        sysfs.integer(said.get("hw.memsize")),
        available(),
    )
    row = next((row for row in known_gpus if row.vendor_id == "106b" and row.name == chip), None)
    peak = row.bandwidth_bytes_per_s if row else None
    source = BandwidthSource.PEAK if peak else None
    gpus = (_gpu(said, total, free, peak),) if chip and chip.startswith("Apple") else ()
    missing = [key for key in KEYS[:3] if key not in said]
    problem = Problem("sysctl", f"not told: {', '.join(missing)}", "is sysctl on the PATH?")
    disk = storage.probe(Path("/"), models_dir, Memo())
    processor, memory = _cpu(said), Memory(total, free, peak, source, peak_bandwidth_bytes_per_s=peak)
    return Hardware(
        cpu=processor,
        memory=memory,
        gpus=gpus,
        storage=disk.value or Storage(str(models_dir)),
        problems=((problem,) if missing else ()) + disk.problems,
        sources={
            **sources("cpu", processor, CPU_TOLD),
            **sources("memory", memory, MEMORY_TOLD),
            **disk.sources("storage"),
            **{name: told for gpu in gpus for name, told in sources(f"gpus[{gpu.id}]", gpu, TOLD).items()},
        },
    )


def parse(text: str) -> dict[str, str]:
    """``key: value`` lines."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key: value.strip() for key, separator, value in pairs if separator}


def _cpu(said: dict[str, str]) -> Cpu:
    return Cpu(
        model=said.get("machdep.cpu.brand_string"),
        physical_cores=sysfs.integer(said.get("hw.physicalcpu")),
        performance_cores=sysfs.integer(said.get("hw.perflevel0.physicalcpu")),
        logical_cpus=sysfs.integer(said.get("hw.logicalcpu")),
        usable_cpus=sysfs.integer(said.get("hw.logicalcpu")),
    )


def _gpu(said: dict[str, str], total: int | None, free: int | None, peak: float | None) -> Gpu:
    limit = sysfs.integer(said.get("iogpu.wired_limit_mb"))
    lent = limit * MIB if limit and limit > 0 else _lent(total)
    release = said.get("kern.osproductversion")
    return Gpu(
        id="soc:apple",
        vendor="apple",
        name=said["machdep.cpu.brand_string"],
        memory_kind=MemoryKind.UNIFIED,
        memory_total_bytes=lent,
        memory_free_bytes=None if lent is None or free is None else min(lent, free),
        bandwidth_bytes_per_s=peak,
        bandwidth_source=BandwidthSource.PEAK if peak else None,
        driver=f"macOS {release}" if release else "macOS",
        is_integrated=True,
    )


def _lent(total: int | None) -> int | None:
    return (
        int(total * (SMALL_SHARE if total <= SMALL_BYTES else LARGE_SHARE)) if total and total > 0 else None
    )
