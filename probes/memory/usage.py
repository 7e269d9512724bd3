"""What the RAM is used for, and what ZFS's cache (the ARC) gives back: MemAvailable counts none of it."""

from dataclasses import dataclass
from pathlib import Path

from probes import sysfs
from probes.system import lxcfs

ARC = Path("proc/spl/kstat/zfs/arcstats")
# Lines of /proc/meminfo by what their sum is: proc_meminfo(5)
USES = {
    "programs": ("AnonPages",),
    "shared memory and tmpfs": ("Shmem",),
    "file cache": ("Cached", "Buffers"),
    "reclaimable caches of the kernel": ("SReclaimable",),
    "the kernel": ("SUnreclaim", "KernelStack", "PageTables", "Percpu"),
    "huge pages": ("Hugetlb",),
}
ZFS_CACHE = "ZFS's cache (ARC)"


@dataclass(frozen=True, slots=True)
class MemoryUse:
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arc:
    size_bytes: int
    min_bytes: int

    @property
    def reclaimable_bytes(self) -> int:
        return max(0, self.size_bytes - self.min_bytes)


def read_arc(root: Path) -> Arc | None:
    """None without ZFS, and in a container with lxcfs: its /proc/meminfo is its own, the ARC the host's."""
    text = sysfs.read(root / ARC)
    if text is None or lxcfs.is_view(root, "/proc/meminfo"):
        return None
    rows = (line.split() for line in text.splitlines())
    counts = {row[0]: sysfs.parse_int(row[2]) for row in rows if len(row) == 3}
    size, least = counts.get("size"), counts.get("c_min")
    return None if size is None or least is None or min(size, least) < 0 else Arc(size, least)


def uses(meminfo_counts: dict[str, int], arc: Arc | None) -> tuple[MemoryUse, ...]:
    """The largest first; what the kernel does not tell is left out."""
    sizes = {
        name: sum(meminfo_counts[line] for line in lines if line in meminfo_counts)
        for name, lines in USES.items()
    }
    sizes["file cache"] = max(0, sizes["file cache"] - sizes["shared memory and tmpfs"])  # Cached has Shmem
    sizes[ZFS_CACHE] = arc.size_bytes if arc else 0
    found = [MemoryUse(name, size) for name, size in sizes.items() if size]
    return tuple(sorted(found, key=lambda use: -use.size_bytes))
