"""Limits of the control groups (versions 1 and 2) of this process and all above it: the tightest counts.

The process's own group often has no limit while a slice above it has one, so all groups on the path in
``/proc/self/cgroup`` are read, up to the mount point.
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
    """``memory_available_bytes`` is the smallest headroom of all limited groups: limit - usage. Inactive file
    pages count as free, because the kernel reclaims them before it kills a process."""

    memory_limit_bytes: int | None = None
    memory_available_bytes: int | None = None
    quota_cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One hierarchy. ``root_group`` is the group that is mounted at ``point`` ("/" outside containers)."""

    point: str
    root_group: str
    version: int
    controllers: frozenset[str]


def probe(root: Path) -> Limits:
    groups = parse_membership(sysfs.read(root / "proc/self/cgroup") or "")
    mounts = parse_mounts(sysfs.read(root / "proc/self/mountinfo") or "") or default_mounts(groups)
    memory: list[tuple[int, int | None]] = []
    quotas: list[float] = []
    for mount in mounts:
        if mount.version == 2:
            folders = _group_folders(root, mount, groups.get(""))
            memory += _not_none(_memory_v2(folder) for folder in folders)
            quotas += _not_none(parse_cpu_max(sysfs.read(folder / "cpu.max") or "") for folder in folders)
        if "memory" in mount.controllers:
            folders = _group_folders(root, mount, groups.get("memory"))
            memory += _not_none(_memory_v1(folder) for folder in folders)
        if "cpu" in mount.controllers:
            quotas += _not_none(
                _quota_v1(folder) for folder in _group_folders(root, mount, groups.get("cpu"))
            )
    return Limits(
        memory_limit_bytes=min((limit for limit, _ in memory), default=None),
        memory_available_bytes=min(_not_none(headroom for _, headroom in memory), default=None),
        quota_cpus=min(quotas, default=None),
    )


def own_group(root: Path) -> Path | None:
    """The folder of this process's group of version 2, ``None`` if it is in none."""
    groups = parse_membership(sysfs.read(root / "proc/self/cgroup") or "")
    mounts = parse_mounts(sysfs.read(root / "proc/self/mountinfo") or "") or default_mounts(groups)
    for mount in mounts:
        if mount.version == 2:
            folders = _group_folders(root, mount, groups.get(""))
            return folders[-1] if folders else None
    return None


def parse_membership(text: str) -> dict[str, str]:
    """Path by controller; that of version 2 has no name. ``4:memory:/a`` -> {"memory": "/a"}."""
    groups = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, colon, path = rest.partition(":")
        if colon:
            groups.update(dict.fromkeys(names.split(","), path))
    return groups


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The cgroup lines of ``/proc/self/mountinfo`` (proc_pid_mountinfo(5))."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        mount, filesystem = left.split(), right.split()
        if not separator or len(mount) < 6 or not filesystem or filesystem[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if filesystem[0] == "cgroup2" else 1
        controllers = frozenset(filesystem[-1].split(",")) if version == 1 else frozenset[str]()
        mounts.append(Mount(mount[4], mount[3], version, controllers))
    return tuple(mounts)


def default_mounts(groups: dict[str, str]) -> tuple[Mount, ...]:
    """Where systemd mounts them, for when mountinfo cannot be read."""
    mounts = tuple(
        Mount(f"/sys/fs/cgroup/{name}", "/", 1, frozenset({name}))
        for name in ("memory", "cpu")
        if name in groups
    )
    return (*mounts, Mount("/sys/fs/cgroup", "/", 2, frozenset())) if "" in groups else mounts


def parse_cpu_max(text: str) -> float | None:
    """``"150000 100000"`` -> 1.5 CPUs, ``"max 100000"`` -> None."""
    quota, _, period = text.partition(" ")
    return _cpus(sysfs.parse_int(quota), sysfs.parse_int(period))


def _cpus(quota_us: int | None, period_us: int | None) -> float | None:
    if quota_us is None or period_us is None or quota_us <= 0 or period_us <= 0:
        return None
    return quota_us / period_us


def _group_folders(root: Path, mount: Mount, group: str | None) -> list[Path]:
    """The folders of a group and of all groups above it that this process can see, topmost first."""
    if group is None:
        return []
    if mount.root_group != "/":  # a container sees its own group as the root
        root_group = mount.root_group.rstrip("/")
        group = group[len(root_group) :] if f"{group}/".startswith(f"{root_group}/") else ""
    parts = [part for part in group.split("/") if part]
    if ".." in parts:  # a group outside this namespace
        parts = []
    folders = [root / mount.point.lstrip("/")]
    for part in parts:
        folders.append(folders[-1] / part)
    return folders


def _memory_v2(folder: Path) -> tuple[int, int | None] | None:
    limits = _not_none(sysfs.read_count(folder / name) for name in ("memory.max", "memory.high"))
    if not limits:
        return None
    stat = sysfs.parse_pairs(sysfs.read(folder / "memory.stat"))
    usage = sysfs.read_count(folder / "memory.current")
    return min(limits), _headroom_bytes(min(limits), usage, sysfs.parse_int(stat.get("inactive_file")))


def _memory_v1(folder: Path) -> tuple[int, int | None] | None:
    limit = sysfs.read_count(folder / "memory.limit_in_bytes")
    if limit is None or limit >= V1_NO_LIMIT_BYTES:
        return None
    stat = sysfs.parse_pairs(sysfs.read(folder / "memory.stat"))
    inactive = sysfs.parse_int(stat.get("total_inactive_file", stat.get("inactive_file")))
    return limit, _headroom_bytes(limit, sysfs.read_count(folder / "memory.usage_in_bytes"), inactive)


def _headroom_bytes(limit: int, usage: int | None, inactive_file: int | None) -> int | None:
    if usage is None:
        return None
    return min(limit, max(0, limit - usage + (inactive_file or 0)))


def _quota_v1(folder: Path) -> float | None:
    quota = sysfs.read_int(folder / "cpu.cfs_quota_us")
    return _cpus(quota, sysfs.read_int(folder / "cpu.cfs_period_us"))


def _not_none(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]
