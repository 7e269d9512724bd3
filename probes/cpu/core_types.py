"""Kinds of cores and which are fast: by PMU folder, ARM design, capacity or clock. Pure, except ``read``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.machine.host import CoreKind
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs

CPUS = Path("sys/devices/system/cpu")

# A core below this share of the fastest core's capacity or clock is an efficiency core. On real machines:
# GB10 A725 0.71, i7-1370P E-cores 0.75, plain against favoured P-cores 0.96, GB10 X925 of two clusters 0.97
PERFORMANCE_SHARE = 0.85

P_CORE, E_CORE, LOW_POWER_CORE = "P-core", "E-core", "LP-E-core"
PMU_KINDS = {"cpu_core": P_CORE, "cpu_atom": E_CORE, "cpu_lowpower": LOW_POWER_CORE}  # perf_pmu.c: Linux 6.13
PMU_SOURCE = Provenance("sysfs", note="devices/cpu_core, cpu_atom, cpu_lowpower: a PMU per kind of core")
SPEED_SOURCES = {
    "capacity": Provenance("sysfs", Certainty.DERIVED, "cpu_capacity of each core"),
    "max_khz": Provenance("sysfs", Certainty.DERIVED, "cpufreq/cpuinfo_max_freq of each core"),
    # the firmware also ranks cores of the same kind, so that the best of them gets work first
    "highest_perf": Provenance(
        "sysfs", Certainty.ASSUMED, "acpi_cppc/highest_perf: also ranks cores of the same kind"
    ),
}


@dataclass(frozen=True, slots=True)
class LogicalCpu:
    """One logical CPU: the logical CPUs of its core, and its speed. ``design`` is the name of an ARM core."""

    number: int
    core: frozenset[int] | None = None
    capacity: int | None = None
    max_khz: int | None = None
    highest_perf: int | None = None
    design: str | None = None


@dataclass(frozen=True, slots=True)
class CoreTypes:
    """``source`` is what distinguished the kinds, ``None`` if nothing did."""

    physical: int | None = None
    performance: int | None = None
    kinds: tuple[CoreKind, ...] = ()
    source: Provenance | None = None


def read(root: Path, online: Iterable[int], designs: Mapping[int, str]) -> CoreTypes:
    present = set(sysfs.entries(root / CPUS))
    logical = [
        _logical(root / CPUS / f"cpu{number}", number, designs.get(number))
        if f"cpu{number}" in present
        else LogicalCpu(number, design=designs.get(number))
        for number in sorted(online)
    ]
    return classify(logical, _read_pmus(root))


def _read_pmus(root: Path) -> dict[str, frozenset[int]]:
    """The CPUs of each PMU: ``cpu_core``, ``cpu_atom`` and ``cpu_lowpower`` of Intel's hybrid processors."""
    names = (name for name in sysfs.entries(root / "sys/devices") if name.startswith("cpu_"))
    return {name: parse_cpu_list(sysfs.read(root / "sys/devices" / name / "cpus")) for name in names}


def _logical(folder: Path, number: int, design: str | None) -> LogicalCpu:
    topology = folder / "topology"
    siblings = sysfs.read(topology / "core_cpus_list") or sysfs.read(topology / "thread_siblings_list")
    max_khz = sysfs.read_count(folder / "cpufreq/cpuinfo_max_freq")
    return LogicalCpu(
        number,
        parse_cpu_list(siblings) or None,
        sysfs.read_count(folder / "cpu_capacity"),
        max_khz,
        None if max_khz else sysfs.read_count(folder / "acpi_cppc/highest_perf"),
        design,
    )


def classify(logical: Sequence[LogicalCpu], pmus: Mapping[str, frozenset[int]]) -> CoreTypes:
    """If there is only one kind, all cores are fast. Without any measure of speed nothing is known."""
    physical = _count_cores(logical)
    groups = _by_pmu(logical, pmus)
    if len(groups) > 1:
        named = [_core_kind(group, name, is_performance=name == P_CORE) for name, group in groups.items()]
        return _core_types(physical, named, PMU_SOURCE)
    measure = next((name for name in SPEED_SOURCES if _all_have(logical, name)), None)
    if measure is None:
        return CoreTypes(physical, None, _by_design(logical, {}))
    speeds = {cpu.number: int(getattr(cpu, measure)) for cpu in logical}
    threshold = PERFORMANCE_SHARE * max(speeds.values())
    fast = {number: speed >= threshold for number, speed in speeds.items()}
    kinds = _by_design(logical, fast) or tuple(
        kind
        for is_fast in (True, False)
        if (
            kind := _core_kind(
                [cpu for cpu in logical if fast[cpu.number] is is_fast], is_performance=is_fast
            )
        )
    )
    return _core_types(physical, kinds, SPEED_SOURCES[measure])


def _by_pmu(
    logical: Sequence[LogicalCpu], pmus: Mapping[str, frozenset[int]]
) -> dict[str | None, list[LogicalCpu]]:
    """The CPUs of each kind of core, the fastest first; those of no PMU, as of kinds to come, are a kind
    without a name. Before Linux 6.13 ``cpu_atom`` has the low-power cores too: their clock is lower."""
    names = {number: PMU_KINDS.get(pmu) for pmu, numbers in pmus.items() for number in numbers}
    efficient_khz = [cpu.max_khz or 0 for cpu in logical if names.get(cpu.number) == E_CORE]
    threshold = PERFORMANCE_SHARE * max(efficient_khz, default=0)
    groups: dict[str | None, list[LogicalCpu]] = {}
    for cpu in logical:
        name = names.get(cpu.number)
        if name == E_CORE and cpu.max_khz is not None and cpu.max_khz < threshold:
            name = LOW_POWER_CORE
        groups.setdefault(name, []).append(cpu)
    return {name: groups[name] for name in (*PMU_KINDS.values(), None) if name in groups}


def _core_types(physical: int | None, kinds: Iterable[CoreKind | None], source: Provenance) -> CoreTypes:
    known = tuple(kind for kind in kinds if kind)
    performance = sum(kind.cores for kind in known if kind.is_performance)
    return CoreTypes(physical, performance or None, known, source)


def _all_have(logical: Sequence[LogicalCpu], name: str) -> bool:
    return bool(logical) and all(getattr(cpu, name) for cpu in logical)


def _by_design(logical: Sequence[LogicalCpu], fast: Mapping[int, bool]) -> tuple[CoreKind, ...]:
    """Kinds of an ARM machine, the fast ones first. A kind is fast if any of its cores is."""
    groups: dict[str, list[LogicalCpu]] = {}
    for cpu in logical:
        groups.setdefault(cpu.design or "", []).append(cpu)
    if len(groups) < 2 or "" in groups:
        return ()
    kinds = [
        _core_kind(group, name, is_performance=any(fast[cpu.number] for cpu in group) if fast else None)
        for name, group in groups.items()
    ]
    return tuple(sorted((kind for kind in kinds if kind), key=lambda kind: not kind.is_performance))


def _core_kind(
    group: Sequence[LogicalCpu], name: str | None = None, *, is_performance: bool | None = None
) -> CoreKind | None:
    cores = _count_cores(group)
    if cores is None:
        return None
    max_khz = max((cpu.max_khz for cpu in group if cpu.max_khz), default=None)
    return CoreKind(
        cpus=format_cpu_list(cpu.number for cpu in group),
        cores=cores,
        name=name,
        max_hz=max_khz * 1e3 if max_khz else None,
        is_performance=is_performance,
    )


def _count_cores(logical: Iterable[LogicalCpu]) -> int | None:
    return len({cpu.core for cpu in logical if cpu.core}) or None


def parse_cpu_list(text: str | None) -> frozenset[int]:
    """``"0-3,8"`` -> {0, 1, 2, 3, 8}. Malformed parts are ignored."""
    numbers: set[int] = set()
    for part in (text or "").split(","):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if match:
            numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(numbers)


def format_cpu_list(numbers: Iterable[int]) -> str:
    """{0, 1, 2, 3, 8} -> ``"0-3,8"``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
