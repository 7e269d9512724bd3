"""A Mac under macOS, from sysctl(8) and psutil. The GPU uses the part of the RAM that Metal allows it."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.machine.hardware import BandwidthSource, Cpu, Gpu, Hardware, Memory, MemoryKind, Problem
from domain.machine.provenance import Certainty, Provenance
from domain.models.catalogue_types import KnownGpu
from domain.units import GIB, MIB
from probes import storage, sysfs
from probes.memo import Memo
from probes.result import Reading, with_items, with_part

KEYS = (
    "machdep.cpu.brand_string",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.perflevel0.physicalcpu",
    "kern.osproductversion",
    "iogpu.wired_limit_mb",
)

# Metal allows the GPU two thirds of the RAM up to 36 GiB and three quarters above that, unless
# iogpu.wired_limit_mb is set: recommendedMaxWorkingSetSize as llama.cpp prints it, 22906 MB of 32 GiB,
# 51539 MB of 64 GiB
SMALL_BYTES, SMALL_SHARE, LARGE_SHARE = 36 * GIB, 2 / 3, 3 / 4

SYSCTL = Provenance("sysctl")
RATED = Provenance("table", Certainty.RATED, "by the chip's name; the RAM is the GPU's memory")
CPU_SOURCES = dict.fromkeys(
    ("model", "physical_cores", "performance_cores", "logical_cpus", "usable_cpus"), SYSCTL
)
MEMORY_SOURCES = {
    "total_bytes": SYSCTL,
    "available_bytes": Provenance("psutil"),
    **dict.fromkeys(("bandwidth_bytes_per_s", "bandwidth_source", "peak_bandwidth_bytes_per_s"), RATED),
}
GPU_SOURCES = {
    **dict.fromkeys(("name", "driver", "memory_kind", "is_integrated"), SYSCTL),
    "memory_total_bytes": Provenance("sysctl", Certainty.ASSUMED, "the share that Metal allows by default"),
    "memory_free_bytes": Provenance("psutil", Certainty.DERIVED, "available memory, at most that share"),
    **dict.fromkeys(("bandwidth_bytes_per_s", "bandwidth_source"), RATED),
}
Run = Callable[[Sequence[str]], str]


def run_text(command: Sequence[str]) -> str:
    """The output of a command, even if it fails: sysctl exits 1 for an unknown key and prints the others."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def available_bytes() -> int | None:
    import psutil  # noqa: PLC0415 - installed on macOS only

    return int(psutil.virtual_memory().available)


def probe(
    models_dir: Path,
    known_gpus: Sequence[KnownGpu],
    run: Run = run_text,
    available: Callable[[], int | None] = available_bytes,
) -> Hardware:
    values = parse(run(["sysctl", *KEYS]))
    chip = values.get("machdep.cpu.brand_string")
    total, free = sysfs.parse_int(values.get("hw.memsize")), available()
    row = next((row for row in known_gpus if row.vendor_id == "106b" and row.name == chip), None)
    peak = row.bandwidth_bytes_per_s if row else None
    source = BandwidthSource.PEAK if peak else None
    memory = Memory(total, free, peak, source, peak_bandwidth_bytes_per_s=peak)
    gpus = (_gpu(values, total, free, peak),) if chip and chip.startswith("Apple") else ()
    missing = [key for key in KEYS[:3] if key not in values]
    problem = Problem("sysctl", f"missing: {', '.join(missing)}", "check that sysctl is on the PATH")
    hardware = with_part(Hardware(), "cpu", Reading(_cpu(values), (problem,) if missing else (), CPU_SOURCES))
    hardware = with_part(hardware, "memory", Reading(memory, provenance=MEMORY_SOURCES))
    hardware = with_items(hardware, "gpus", gpus, lambda _: GPU_SOURCES)
    return with_part(hardware, "storage", storage.probe(Path("/"), models_dir, Memo()))


def parse(text: str) -> dict[str, str]:
    """``key: value`` lines."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key: value.strip() for key, separator, value in pairs if separator}


def _cpu(values: dict[str, str]) -> Cpu:
    return Cpu(
        model=values.get("machdep.cpu.brand_string"),
        physical_cores=sysfs.parse_int(values.get("hw.physicalcpu")),
        performance_cores=sysfs.parse_int(values.get("hw.perflevel0.physicalcpu")),
        logical_cpus=sysfs.parse_int(values.get("hw.logicalcpu")),
        usable_cpus=sysfs.parse_int(values.get("hw.logicalcpu")),
    )


def _gpu(values: dict[str, str], total: int | None, free: int | None, peak: float | None) -> Gpu:
    limit = sysfs.parse_int(values.get("iogpu.wired_limit_mb"))
    usable = limit * MIB if limit and limit > 0 else _default_share_bytes(total)
    release = values.get("kern.osproductversion")
    return Gpu(
        id="soc:apple",
        vendor="apple",
        name=values["machdep.cpu.brand_string"],
        memory_kind=MemoryKind.UNIFIED,
        memory_total_bytes=usable,
        memory_free_bytes=None if usable is None or free is None else min(usable, free),
        bandwidth_bytes_per_s=peak,
        bandwidth_source=BandwidthSource.PEAK if peak else None,
        driver=f"macOS {release}" if release else "macOS",
        is_integrated=True,
    )


def _default_share_bytes(total: int | None) -> int | None:
    return (
        int(total * (SMALL_SHARE if total <= SMALL_BYTES else LARGE_SHARE)) if total and total > 0 else None
    )
