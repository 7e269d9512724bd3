"""Limits of the control groups above this process, versions 1 and 2: the tightest one on the way up.

The process's own group often has no limit while a slice above it has one, so the path of
``/proc/self/cgroup`` is walked up to the mount point and the smallest value counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from probes import sysfs

# Version 1 writes "no limit" as the largest multiple of a page: 9223372036854771712 with 4 KiB pages
V1_NO_LIMIT_BYTES = 1 << 62

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory_available_bytes`` is the least headroom of all limited groups: limit - usage, where
    inactive file pages count as free, because the kernel drops them before it kills."""

    memory_limit_bytes: int | None = None
    memory_available_bytes: int | None = None
    quota_cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One hierarchy: ``inside`` is the group that is mounted at ``point`` ("/" outside containers)."""

    point: str
    inside: str
    version: int
    controllers: frozenset[str]


def probe(root: Path) -> Limits:
    groups = parse_membership(sysfs.read(root / "proc/self/cgroup") or "")
    mounts = parse_mounts(sysfs.read(root / "proc/self/mountinfo") or "") or default_mounts(groups)
    memory: list[tuple[int, int | None]] = []
    quotas: list[float] = []
    for mount in mounts:
        if mount.version == 2:
            levels = _levels(root, mount, groups.get(""))
            memory += _known(_memory_v2(folder) for folder in levels)
            quotas += _known(parse_cpu_max(sysfs.read(folder / "cpu.max") or "") for folder in levels)
        if "memory" in mount.controllers:
            levels = _levels(root, mount, groups.get("memory"))
            memory += _known(_memory_v1(folder) for folder in levels)
        if "cpu" in mount.controllers:
            quotas += _known(_quota_v1(folder) for folder in _levels(root, mount, groups.get("cpu")))
    rooms = _known(room for _, room in memory)
    return Limits(
        memory_limit_bytes=min((limit for limit, _ in memory), default=None),
        memory_available_bytes=min(rooms, default=None),
        quota_cpus=min(quotas, default=None),
    )


def parse_membership(text: str) -> dict[str, str]:
    """Path by controller; version 2 has the empty name. ``4:memory:/a`` -> {"memory": "/a"}."""
    groups = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if colon:
            groups.update(dict.fromkeys(names.split(","), path))
    return groups


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The cgroup lines of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5))."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if not dash or len(place) < 5 or not kind or kind[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(kind[-1].split(",")) if kind[0] == "cgroup" else frozenset[str]()
        found.append(Mount(place[4], place[3], 2 if kind[0] == "cgroup2" else 1, controllers))
    return tuple(found)


def default_mounts(groups: dict[str, str]) -> tuple[Mount, ...]:
    """Where systemd mounts them, when mountinfo can't be read."""
    one = tuple(
        Mount(f"/sys/fs/cgroup/{name}", "/", 1, frozenset({name}))
        for name in ("memory", "cpu")
        if name in groups
    )
    return (*one, Mount("/sys/fs/cgroup", "/", 2, frozenset())) if "" in groups else one


def parse_cpu_max(text: str) -> float | None:
    """``"150000 100000"`` -> 1.5 CPUs, ``"max 100000"`` -> None."""
    quota, _, period = text.partition(" ")
    return _cpus(sysfs.integer(quota), sysfs.integer(period))


def _cpus(quota_us: int | None, period_us: int | None) -> float | None:
    if quota_us is None or period_us is None or quota_us <= 0 or period_us <= 0:
        return None
    return quota_us / period_us


def _levels(root: Path, mount: Mount, group: str | None) -> list[Path]:
    """The folders of a group and of all groups above it that this process can see."""
    if group is None:
        return []
    if mount.inside != "/":  # a container sees its own group as the top
        inside = mount.inside.rstrip("/")
        group = group[len(inside) :] if f"{group}/".startswith(f"{inside}/") else ""
    parts = [part for part in group.split("/") if part]
    if ".." in parts:  # a group outside of this namespace
        parts = []
    folders = [root / mount.point.lstrip("/")]
    for part in parts:
        folders.append(folders[-1] / part)
    return folders


def _memory_v2(folder: Path) -> tuple[int, int | None] | None:
    limits = _known(sysfs.read_count(folder / name) for name in ("memory.max", "memory.high"))
    if not limits:
        return None
    stat = sysfs.fields(sysfs.read(folder / "memory.stat"))
    usage = sysfs.read_count(folder / "memory.current")
    return min(limits), _room(min(limits), usage, sysfs.integer(stat.get("inactive_file")))


def _memory_v1(folder: Path) -> tuple[int, int | None] | None:
    limit = sysfs.read_count(folder / "memory.limit_in_bytes")
    if limit is None or limit >= V1_NO_LIMIT_BYTES:
        return None
    stat = sysfs.fields(sysfs.read(folder / "memory.stat"))
    idle = sysfs.integer(stat.get("total_inactive_file", stat.get("inactive_file")))
    return limit, _room(limit, sysfs.read_count(folder / "memory.usage_in_bytes"), idle)


def _room(limit: int, usage: int | None, inactive_file: int | None) -> int | None:
    if usage is None:
        return None
    return min(limit, max(0, limit - usage + (inactive_file or 0)))


def _quota_v1(folder: Path) -> float | None:
    quota = sysfs.read_int(folder / "cpu.cfs_quota_us")
    return _cpus(quota, sysfs.read_int(folder / "cpu.cfs_period_us"))


def _known(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]
