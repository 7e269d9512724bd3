"""The processor: model, cores, instruction sets, and how much of it this process may use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.hardware import Cpu, Problem
from domain.told import Certainty, Told
from probes import files
from probes.cgroup import Limits
from probes.found import Answer

# What llama.cpp's CPU variants and vLLM's CPU kernels ask for (ggml/src/ggml-cpu/CMakeLists.txt), by the
# names of /proc/cpuinfo: x86 first, then ARM
ENGINE_ISA = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512vl",
    "avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme", "sme2",
)  # fmt: skip

# MIDR implementer and part: Linux arch/arm64/include/asm/cputype.h, util-linux sys-utils/lscpu-arm.c
ARM_CORES = {
    ("0x41", "0xd03"): "Cortex-A53", ("0x41", "0xd05"): "Cortex-A55", ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76", ("0x41", "0xd0c"): "Neoverse-N1", ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78", ("0x41", "0xd42"): "Cortex-A78AE", ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510", ("0x41", "0xd47"): "Cortex-A710", ("0x41", "0xd48"): "Cortex-X2",
    ("0x41", "0xd49"): "Neoverse-N2", ("0x41", "0xd4d"): "Cortex-A715", ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd4f"): "Neoverse-V2", ("0x41", "0xd80"): "Cortex-A520", ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4", ("0x41", "0xd84"): "Neoverse-V3", ("0x41", "0xd85"): "Cortex-X925",
    ("0x41", "0xd87"): "Cortex-A725", ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x51", "0x001"): "Oryon", ("0xc0", "0xac3"): "Ampere-1", ("0xc0", "0xac4"): "Ampere-1A",
}  # fmt: skip

# A core below this share of the fastest one's capacity or clock is an efficiency core. Seen: GB10 A725
# 0.71, i7-1370P E-cores 0.75, favoured P-cores against plain ones 0.96, GB10 X925 of two clusters 0.97
PERFORMANCE_SHARE = 0.85

CPUS = Path("sys/devices/system/cpu")

TOLD = {
    "model": Told("cpuinfo"),
    "physical_cores": Told("sysfs", note="topology/core_cpus_list"),
    "logical_cpus": Told("sysfs", note="cpu/online"),
    "usable_cpus": Told("proc", note="Cpus_allowed_list: affinity and cpusets"),
    "quota_cpus": Told("cgroup", note="the tightest of this group and all above it"),
    "isa": Told("cpuinfo", note="what every core has"),
    "numa_nodes": Told("sysfs", note="node/has_cpu"),
    "performance_cores": Told("sysfs", Certainty.DERIVED, "by capacity or top clock of the cores"),
}


@dataclass(frozen=True, slots=True)
class Cpuinfo:
    """``isa`` is what every core has: on hybrid machines an engine may land on any of them."""

    model: str | None
    isa: tuple[str, ...]
    logical_cpus: int


@dataclass(frozen=True, slots=True)
class LogicalCpu:
    """One logical CPU: its core's siblings, and how fast it is (``cpu_capacity`` or top clock)."""

    number: int
    core: frozenset[int] | None = None
    capacity: int | None = None
    max_khz: int | None = None


def probe(root: Path, limits: Limits) -> Answer[Cpu]:
    info = parse_cpuinfo(files.read(root / "proc/cpuinfo") or "")
    online = parse_cpu_list(files.read(root / CPUS / "online"))
    logical = [_read(root / CPUS / f"cpu{number}", number) for number in sorted(online)]
    allowed = files.fields(files.read(root / "proc/self/status")).get("Cpus_allowed_list:")
    cpu = Cpu(
        model=info.model,
        physical_cores=len({one.core for one in logical if one.core}) or None,
        performance_cores=performance_cores(
            logical,
            parse_cpu_list(files.read(root / "sys/devices/cpu_core/cpus")),
            parse_cpu_list(files.read(root / "sys/devices/cpu_atom/cpus")),
        ),
        logical_cpus=len(online) or info.logical_cpus or None,
        usable_cpus=len(online & parse_cpu_list(allowed)) or None,
        quota_cpus=limits.quota_cpus,
        isa=info.isa,
        numa_nodes=len(parse_cpu_list(files.read(root / "sys/devices/system/node/has_cpu"))) or None,
    )
    missing = [name for name in ("model", "physical_cores", "usable_cpus") if getattr(cpu, name) is None]
    if missing:
        what = f"not told below {root}: {', '.join(missing)}"
        return Answer(cpu, (Problem("cpu", what, "mount /proc and /sys in this container"),), TOLD)
    return Answer(cpu, told=TOLD)


def parse_cpuinfo(text: str) -> Cpuinfo:
    models: list[str] = []
    flags: list[set[str]] = []
    for block in text.split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        facts = {key.strip(): value.strip() for key, _, value in lines}
        if "processor" not in facts:
            continue
        part = (facts.get("CPU implementer", ""), facts.get("CPU part", ""))
        model = facts.get("model name") or ARM_CORES.get(part)
        if model and model not in models:
            models.append(model)
        flags.append(set((facts.get("flags") or facts.get("Features") or "").split()))
    common = set.intersection(*flags) if flags else set()
    isa = tuple(name for name in ENGINE_ISA if name in common)
    return Cpuinfo(" + ".join(models) or None, isa, len(flags))


def parse_cpu_list(text: str | None) -> frozenset[int]:
    """``"0-3,8"`` -> {0, 1, 2, 3, 8}. What isn't such a list is empty."""
    numbers: set[int] = set()
    for part in (text or "").split(","):
        found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if found:
            numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return frozenset(numbers)


def performance_cores(
    logical: Sequence[LogicalCpu], core_cpus: frozenset[int], atom_cpus: frozenset[int]
) -> int | None:
    """Physical cores of the fast kind; all of them where there is one kind; None where nothing tells."""
    if core_cpus and atom_cpus:  # Intel hybrid: one PMU per kind of core
        fast = {one.core for one in logical if one.number in core_cpus and one.core}
        return len(fast) or None
    speeds = [one.capacity for one in logical]
    if None in speeds:
        speeds = [one.max_khz for one in logical]
    known = [speed for speed in speeds if speed]
    if not known or len(known) < len(logical):
        return None
    enough = PERFORMANCE_SHARE * max(known)
    return (
        len({one.core for one, speed in zip(logical, known, strict=True) if one.core and speed >= enough})
        or None
    )


def _read(folder: Path, number: int) -> LogicalCpu:
    topology = folder / "topology"
    siblings = files.read(topology / "core_cpus_list") or files.read(topology / "thread_siblings_list")
    return LogicalCpu(
        number,
        parse_cpu_list(siblings) or None,
        files.read_count(folder / "cpu_capacity"),
        files.read_count(folder / "cpufreq/cpuinfo_max_freq"),
    )
