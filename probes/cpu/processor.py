"""The processor: model, cores, instruction sets, and how much of it this process may use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.machine.hardware import Cpu, Problem
from domain.machine.provenance import Provenance
from probes import sysfs
from probes.cpu import core_types, numa
from probes.cpu.core_types import CPUS, parse_cpu_list
from probes.memo import Memo
from probes.memory.cgroup import Limits
from probes.result import Reading
from probes.system import lxcfs

# Instruction sets that llama.cpp's CPU variants (ggml/src/ggml-cpu/CMakeLists.txt) and vLLM's kernels use,
# by their names in /proc/cpuinfo: x86 first, then ARM
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

# x86 and most others, LoongArch, MIPS, POWER, RISC-V: arch/*/kernel of Linux, show_cpuinfo
MODEL_KEYS = ("model name", "Model Name", "cpu model", "cpu", "uarch")

SOURCES = {
    "model": Provenance("cpuinfo"),
    "physical_cores": Provenance("sysfs", note="topology/core_cpus_list"),
    "logical_cpus": Provenance("sysfs", note="cpu/online"),
    "usable_cpus": Provenance("proc", note="Cpus_allowed_list: affinity and cpusets"),
    "quota_cpus": Provenance("cgroup", note="the tightest of this group and all above it"),
    "isa": Provenance("cpuinfo", note="common to all cores"),
    "numa_nodes": Provenance("sysfs", note="node/has_cpu"),
    "kinds": Provenance("cpuinfo", note="the design of each ARM core"),
    "numa": Provenance("sysfs", note="node/node*/cpulist and meminfo"),
    "throttled_count": Provenance("sysfs", note="thermal_throttle/*_throttle_count since boot"),
}


@dataclass(frozen=True, slots=True)
class Cpuinfo:
    """``isa`` is common to all cores, because an engine may run on any of them. ``designs`` are the names of
    ARM cores by the number of the CPU."""

    model: str | None
    isa: tuple[str, ...]
    logical_cpus: int
    designs: Mapping[int, str]


def probe(root: Path, limits: Limits, memo: Memo) -> Reading[Cpu]:
    """Without temperature and power, which come from sensors (combine.py)."""
    online_text = sysfs.read(root / CPUS / "online")
    online = parse_cpu_list(online_text)
    info = memo("cpuinfo", online_text, lambda: parse_cpuinfo(sysfs.read(root / "proc/cpuinfo") or ""))
    cores = memo("cores", online_text, lambda: core_types.read(root, online, info.designs))
    nodes = numa.probe(root)
    allowed = sysfs.parse_pairs(sysfs.read(root / "proc/self/status")).get("Cpus_allowed_list:")
    cpu = Cpu(
        model=info.model,
        physical_cores=cores.physical,
        performance_cores=cores.performance,
        logical_cpus=len(online) or info.logical_cpus or None,
        usable_cpus=usable_cpus(root, online, parse_cpu_list(allowed)),
        quota_cpus=limits.quota_cpus,
        isa=info.isa,
        numa_nodes=len(parse_cpu_list(sysfs.read(root / "sys/devices/system/node/has_cpu"))) or None,
        kinds=cores.kinds,
        numa=nodes,
        throttled_count=throttle_count(root, online),
    )
    provenance = SOURCES
    if cores.source is not None:
        provenance = {**SOURCES, **dict.fromkeys(("performance_cores", "kinds"), cores.source)}
    missing = [name for name in ("physical_cores", "usable_cpus") if getattr(cpu, name) is None]
    if not info.logical_cpus:
        missing.insert(0, "model")
    if missing:
        what = f"missing below {root}: {', '.join(missing)}"
        return Reading(cpu, (Problem("cpu", what, "mount /proc and /sys in this container"),), provenance)
    return Reading(cpu, provenance=provenance)


def usable_cpus(root: Path, online: frozenset[int], allowed: frozenset[int]) -> int | None:
    """Without offline CPUs, which ``allowed`` may name too, unless ``online`` has other numbers than the
    kernel's: lxcfs numbers the CPUs of a container's quota from 0."""
    if online <= allowed:
        return len(online) or None
    shared = len(online & allowed)
    if not shared or lxcfs.is_view(root, f"/{CPUS}"):
        return min(len(online), len(allowed)) or None
    return shared


def throttle_count(root: Path, online: Iterable[int]) -> int | None:
    """How many times since boot Intel's cores and packages were throttled for heat; other vendors do not
    count this. All CPUs of a core, and of a package, show the same counter."""
    counters: dict[tuple[str, str], int] = {}
    for number in online:
        folder = root / CPUS / f"cpu{number}"
        if not sysfs.exists(folder / "thermal_throttle"):
            continue
        for unit, file in (("core", "core_cpus_list"), ("package", "physical_package_id")):
            count = sysfs.read_count(folder / f"thermal_throttle/{unit}_throttle_count")
            if count is not None:
                counters[unit, sysfs.read(folder / "topology" / file) or str(number)] = count
    return sum(counters.values()) if counters else None


def parse_cpuinfo(text: str) -> Cpuinfo:
    models: list[str] = []
    designs: dict[int, str] = {}
    flags: list[set[str]] = []
    for block in text.split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        values = {key.strip(): value.strip() for key, _, value in lines}
        if "processor" not in values:
            continue
        design = _design(values)
        number = sysfs.parse_int(values["processor"])
        if design and number is not None:
            designs[number] = design
        model = next((values[key] for key in MODEL_KEYS if values.get(key)), None) or design
        if model and model not in models:
            models.append(model)
        flags.append(set((values.get("flags") or values.get("Features") or "").split()))
    common = set.intersection(*flags) if flags else set()
    isa = tuple(name for name in ENGINE_ISA if name in common)
    return Cpuinfo(" + ".join(models) or None, isa, len(flags), designs)


def _design(values: Mapping[str, str]) -> str | None:
    """The name of an Arm core, or its numbers if the table lacks it."""
    implementer, part = values.get("CPU implementer"), values.get("CPU part")
    if not implementer or not part:
        return None
    return ARM_CORES.get((implementer, part), f"Arm core {implementer}:{part}")
