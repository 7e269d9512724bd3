"""Host RAM: total and available bytes, the limit for locked memory, and the limit of the control groups.

Swap is reported apart: sums of RAM and swap have claimed 135 GB of a 128 GB machine
(github.com/GpuZelenograd/memtest_vulkan/issues/66).
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from domain.machine.hardware import BandwidthSource, Memory, Problem
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs
from probes.memo import Memo
from probes.memory import dimms, peak_bandwidth, usage
from probes.memory import swap as swaps
from probes.memory.cgroup import Limits, parse_membership
from probes.memory.swap import Swaps
from probes.result import FieldSources, Reading

CAP_IPC_LOCK = 14  # linux/capability.h; it lifts the limit: mm/mlock.c can_do_mlock()
MEMLOCK = re.compile(r"^Max locked memory\s+(\S+)", re.MULTILINE)
SOURCES = {
    "total_bytes": Provenance("meminfo", note="MemTotal: without a firmware carve-out for a GPU"),
    "available_bytes": Provenance("meminfo", note="MemAvailable, never more than MemTotal"),
    "arc_reclaimable_bytes": Provenance("zfs", Certainty.DERIVED, "arcstats: size - c_min"),
    "hugepages_total_bytes": Provenance("meminfo", note="of the default size"),
    "hugepages_free_bytes": Provenance("meminfo"),
    "cgroup_limit_bytes": Provenance("cgroup", note="the tightest of this group and all above it"),
    "cgroup_available_bytes": Provenance("cgroup", Certainty.DERIVED, "limit - usage + inactive file pages"),
    "zram_total_bytes": Provenance("swaps", note="before compression"),
    "zram_free_bytes": Provenance("swaps"),
}
WITH_ARC = Provenance("meminfo", Certainty.DERIVED, "MemAvailable + what ZFS's cache gives back")
BANDWIDTH_FIELDS = ("bandwidth_bytes_per_s", "bandwidth_source", "peak_bandwidth_bytes_per_s", "bus_bits")
WHOLE_UID_RANGE = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True)
class Meminfo:
    """``/proc/meminfo`` in bytes. The firmware's carve-out for a GPU is not part of ``total_bytes``.
    ``available_bytes`` has ``arc_reclaimable_bytes``, what ZFS's cache gives back; ``None`` without ZFS."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    hugepages_bytes: int | None = None
    hugepages_free_bytes: int | None = None
    arc_reclaimable_bytes: int | None = None

    @property
    def unified_free_bytes(self) -> int | None:
        """What a GPU that shares this RAM can allocate: free huge pages if any are reserved, else available
        memory (docs.nvidia.com/dgx/dgx-spark/known-issues.html)."""
        return self.hugepages_free_bytes if self.hugepages_bytes else self.available_bytes


def read_meminfo(root: Path) -> Meminfo:
    meminfo = parse_meminfo(sysfs.read(root / "proc/meminfo") or "")
    arc = usage.read_arc(root)
    total, available = meminfo.total_bytes, meminfo.available_bytes
    if arc is None or total is None or available is None:
        return meminfo
    more = min(arc.reclaimable_bytes, total - available)
    return replace(meminfo, available_bytes=available + more, arc_reclaimable_bytes=more)


def parse_meminfo_counts(text: str) -> dict[str, int]:
    """Every line by its key: in bytes if the unit is kB, else a plain count."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        count = sysfs.parse_int(number)
        if count is not None and count >= 0:
            counts[key] = count * 1024 if unit == "kB" else count
    return counts


def parse_meminfo(text: str) -> Meminfo:
    counts = parse_meminfo_counts(text)
    total, available = counts.get("MemTotal"), counts.get("MemAvailable")
    if total is not None and available is not None:
        available = min(total, available)  # lxcfs can report more available than total memory
    page = counts.get("Hugepagesize")
    total_pages, free_pages = (counts.get(f"HugePages_{name}") for name in ("Total", "Free"))
    return Meminfo(
        total_bytes=total,
        available_bytes=available,
        swap_total_bytes=counts.get("SwapTotal"),
        swap_free_bytes=counts.get("SwapFree"),
        hugepages_bytes=None if page is None or total_pages is None else total_pages * page,
        hugepages_free_bytes=None if page is None or free_pages is None else free_pages * page,
    )


def probe(root: Path, meminfo: Meminfo, limits: Limits, memo: Memo) -> Reading[Memory]:
    """Without what depends on the GPUs, too (carve-out, rated bandwidth): other probes add it."""
    limit, unlimited = memlock_limit(root)
    slots = memo("modules", None, lambda: dimms.read(root))
    swap = swaps.parse(sysfs.read(root / "proc/swaps"))
    sizes = [module.total_bytes or 0 for module in slots.modules]
    peak = peak_bandwidth.from_modules(slots.slots)
    memory = Memory(
        total_bytes=meminfo.total_bytes,
        available_bytes=meminfo.available_bytes,
        arc_reclaimable_bytes=meminfo.arc_reclaimable_bytes,
        memlock_limit_bytes=limit,
        memlock_unlimited=unlimited,
        cgroup_limit_bytes=limits.memory_limit_bytes,
        cgroup_available_bytes=limits.memory_available_bytes,
        swap_total_bytes=swap.disk_total_bytes if swap else meminfo.swap_total_bytes,
        swap_free_bytes=swap.disk_free_bytes if swap else meminfo.swap_free_bytes,
        zram_total_bytes=swap.zram_total_bytes if swap else None,
        zram_free_bytes=swap.zram_free_bytes if swap else None,
        hugepages_total_bytes=meminfo.hugepages_bytes,
        hugepages_free_bytes=meminfo.hugepages_free_bytes,
        installed_bytes=sum(sizes) or None,
        modules=slots.modules,
        bandwidth_bytes_per_s=peak.bytes_per_s,
        bandwidth_source=BandwidthSource.PEAK if peak.bytes_per_s else None,
        peak_bandwidth_bytes_per_s=peak.bytes_per_s,
        bus_bits=peak.bus_bits,
    )
    provenance = _sources(root, memory, swap, slots.source, peak.source)
    missing = [name for name in ("total_bytes", "available_bytes") if getattr(memory, name) is None]
    if missing:
        what = f"{root / 'proc/meminfo'} lacks {' and '.join(missing)}"
        return Reading(memory, (Problem("memory", what, "mount /proc in this container"),), provenance)
    return Reading(memory, provenance=provenance)


def _sources(
    root: Path, memory: Memory, swap: Swaps | None, modules: Provenance, peak: Provenance
) -> FieldSources:
    """The sources that are the same on every machine, and those that differ."""
    lock = Provenance("proc", note=f"of {systemd_unit(root)}, whose engines inherit it")
    swap_source = Provenance("swaps") if swap else Provenance("meminfo", note="with zram, if there is any")
    return {
        **(SOURCES if memory.arc_reclaimable_bytes is None else {**SOURCES, "available_bytes": WITH_ARC}),
        "memlock_unlimited" if memory.memlock_unlimited else "memlock_limit_bytes": lock,
        **dict.fromkeys(("swap_total_bytes", "swap_free_bytes"), swap_source),
        **dict.fromkeys(("modules", "installed_bytes"), modules),
        **dict.fromkeys(BANDWIDTH_FIELDS, peak),
    }


def systemd_unit(root: Path) -> str:
    """The systemd unit whose limits this process has. Engines are its children and inherit them."""
    groups = parse_membership(sysfs.read(root / "proc/self/cgroup") or "").values()
    names = [Path(group).name for group in groups]
    return next((name for name in names if name.endswith((".service", ".scope"))), "this daemon")


def memlock_limit(root: Path) -> tuple[int | None, bool]:
    """The soft limit in bytes, and whether this process has none: (None, True) means unlimited.

    Read from /proc/self/limits, which shows what getrlimit(RLIMIT_MEMLOCK) returns.
    """
    match = MEMLOCK.search(sysfs.read(root / "proc/self/limits") or "")
    status = sysfs.parse_pairs(sysfs.read(root / "proc/self/status"))
    if (match and match[1] == "unlimited") or _may_lock_any_amount(
        status, sysfs.read(root / "proc/self/uid_map")
    ):
        return None, True
    return (sysfs.parse_int(match[1]) if match else None), False


def _may_lock_any_amount(status: dict[str, str], uid_map: str | None) -> bool:
    """CAP_IPC_LOCK counts only in the initial user namespace, so root in a rootless container has a limit."""
    effective = sysfs.parse_int("0x" + status.get("CapEff:", "0").strip())
    return bool((effective or 0) >> CAP_IPC_LOCK & 1) and (uid_map or "").split() == WHOLE_UID_RANGE
