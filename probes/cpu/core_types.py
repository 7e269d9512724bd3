"""Kinds of cores and which are fast: by PMU folder, ARM design, capacity or clock. Pure, but for ``read``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.host import CoreKind
from domain.provenance import Certainty, Provenance
from probes import sysfs

CPUS = Path("sys/devices/system/cpu")

# A core below this share of the fastest one's capacity or clock is an efficiency core. Seen: GB10 A725
# 0.71, i7-1370P E-cores 0.75, favoured P-cores against plain ones 0.96, GB10 X925 of two clusters 0.97
PERFORMANCE_SHARE = 0.85

PMU_TOLD = Provenance("sysfs", note="devices/cpu_core and cpu_atom: one PMU per kind of core")
SPEED_TOLD = {
    "capacity": Provenance("sysfs", Certainty.DERIVED, "cpu_capacity of each core"),
    "max_khz": Provenance("sysfs", Certainty.DERIVED, "cpufreq/cpuinfo_max_freq of each core"),
    # the firmware ranks cores of one kind, too, so that the best of them is given work first
    "highest_perf": Provenance(
        "sysfs", Certainty.ASSUMED, "acpi_cppc/highest_perf: ranks cores of one kind, too"
    ),
}


@dataclass(frozen=True, slots=True)
class LogicalCpu:
    """One logical CPU: its core's siblings, and how fast it is; ``design`` is the name of an ARM core."""

    number: int
    core: frozenset[int] | None = None
    capacity: int | None = None
    max_khz: int | None = None
    highest_perf: int | None = None
    design: str | None = None


@dataclass(frozen=True, slots=True)
class Cores:
    """``told`` says by what the kinds were told apart, ``None`` where nothing tells."""

    physical: int | None = None
    performance: int | None = None
    kinds: tuple[CoreKind, ...] = ()
    told: Provenance | None = None


def read(root: Path, online: Iterable[int], designs: Mapping[int, str]) -> Cores:
    logical = [
        _logical(root / CPUS / f"cpu{number}", number, designs.get(number)) for number in sorted(online)
    ]
    return sort_out(
        logical,
        parse_cpu_list(sysfs.read(root / "sys/devices/cpu_core/cpus")),
        parse_cpu_list(sysfs.read(root / "sys/devices/cpu_atom/cpus")),
    )


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


def sort_out(logical: Sequence[LogicalCpu], core_cpus: frozenset[int], atom_cpus: frozenset[int]) -> Cores:
    """All cores are of the fast kind where there is one kind. Nothing is said where nothing tells."""
    physical = _count(logical)
    if core_cpus and atom_cpus:  # Intel hybrid
        groups = [
            _kind([one for one in logical if one.number in cpus], name, is_performance=fast)
            for name, cpus, fast in (("P-core", core_cpus, True), ("E-core", atom_cpus, False))
        ]
        return _cores(physical, groups, PMU_TOLD)
    measure = next((name for name in SPEED_TOLD if _all_tell(logical, name)), None)
    if measure is None:
        return Cores(physical, None, _by_design(logical, {}))
    speeds = {one.number: int(getattr(one, measure)) for one in logical}
    enough = PERFORMANCE_SHARE * max(speeds.values())
    fast = {number: speed >= enough for number, speed in speeds.items()}
    kinds = _by_design(logical, fast) or tuple(
        kind
        for is_fast in (True, False)
        if (kind := _kind([one for one in logical if fast[one.number] is is_fast], is_performance=is_fast))
    )
    return _cores(physical, kinds, SPEED_TOLD[measure])


def _cores(physical: int | None, kinds: Iterable[CoreKind | None], told: Provenance) -> Cores:
    found = tuple(kind for kind in kinds if kind)
    performance = sum(kind.cores for kind in found if kind.is_performance)
    return Cores(physical, performance or None, found, told)


def _all_tell(logical: Sequence[LogicalCpu], name: str) -> bool:
    return bool(logical) and all(getattr(one, name) for one in logical)


def _by_design(logical: Sequence[LogicalCpu], fast: Mapping[int, bool]) -> tuple[CoreKind, ...]:
    """Kinds of an ARM machine, the fast ones first; a kind is fast if any core of it is."""
    groups: dict[str, list[LogicalCpu]] = {}
    for one in logical:
        groups.setdefault(one.design or "", []).append(one)
    if len(groups) < 2 or "" in groups:
        return ()
    kinds = [
        _kind(group, name, is_performance=any(fast[one.number] for one in group) if fast else None)
        for name, group in groups.items()
    ]
    return tuple(sorted((kind for kind in kinds if kind), key=lambda kind: not kind.is_performance))


def _kind(
    group: Sequence[LogicalCpu], name: str | None = None, *, is_performance: bool | None = None
) -> CoreKind | None:
    cores = _count(group)
    if cores is None:
        return None
    top_khz = max((one.max_khz for one in group if one.max_khz), default=None)
    return CoreKind(
        cpus=cpu_list(one.number for one in group),
        cores=cores,
        name=name,
        max_hz=top_khz * 1e3 if top_khz else None,
        is_performance=is_performance,
    )


def _count(logical: Iterable[LogicalCpu]) -> int | None:
    return len({one.core for one in logical if one.core}) or None


def parse_cpu_list(text: str | None) -> frozenset[int]:
    """``"0-3,8"`` -> {0, 1, 2, 3, 8}. What isn't such a list is empty."""
    numbers: set[int] = set()
    for part in (text or "").split(","):
        found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if found:
            numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return frozenset(numbers)


def cpu_list(numbers: Iterable[int]) -> str:
    """{0, 1, 2, 3, 8} -> ``"0-3,8"``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
