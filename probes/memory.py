"""Host RAM: what is there, what is free, what may be locked, and the limit of the control groups.

Swap is kept apart: sums of RAM and swap have claimed 135 GB of a 128 GB machine
(github.com/GpuZelenograd/memtest_vulkan/issues/66).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from domain.hardware import Memory, Problem
from domain.told import Certainty, Told
from probes import files
from probes.cgroup import Limits
from probes.found import Answer

CAP_IPC_LOCK = 14  # linux/capability.h; mm/mlock.c can_do_mlock() lets it pass any limit
MEMLOCK = re.compile(r"^Max locked memory\s+(\S+)", re.MULTILINE)
PEAK = Told("table", Certainty.RATED, "of the unified GPU, whose memory it is")
TOLD = {
    "total_bytes": Told("meminfo", note="MemTotal: without what the firmware gave a GPU"),
    "available_bytes": Told("meminfo", note="MemAvailable, never more than MemTotal"),
    "memlock_limit_bytes": Told("proc", note="of this daemon, whose engines inherit it"),
    "cgroup_limit_bytes": Told("cgroup", note="the tightest of this group and all above it"),
    "cgroup_available_bytes": Told("cgroup", Certainty.DERIVED, "limit - usage + inactive file pages"),
    "swap_total_bytes": Told("meminfo"),
    "swap_free_bytes": Told("meminfo"),
    "bandwidth_bytes_per_s": PEAK,
    "peak_bandwidth_bytes_per_s": PEAK,
}
WHOLE_UID_RANGE = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True)
class Meminfo:
    """``/proc/meminfo`` in bytes. A firmware's carve-out for the GPU is not part of ``total_bytes``."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    hugepages_bytes: int = 0
    hugepages_free_bytes: int = 0

    @property
    def unified_free_bytes(self) -> int | None:
        """What a GPU that shares this RAM can get: huge pages where some are reserved, else what is
        available (docs.nvidia.com/dgx/dgx-spark/known-issues.html)."""
        return self.hugepages_free_bytes if self.hugepages_bytes else self.available_bytes


def read_meminfo(root: Path) -> Meminfo:
    return parse_meminfo(files.read(root / "proc/meminfo") or "")


def parse_meminfo(text: str) -> Meminfo:
    counts: dict[str, int] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        count = files.integer(number)
        if count is not None and count >= 0:
            counts[key] = count * 1024 if unit == "kB" else count
    total, available = counts.get("MemTotal"), counts.get("MemAvailable")
    if total is not None and available is not None:
        available = min(total, available)  # lxcfs shows more available than there is
    page = counts.get("Hugepagesize", 0)
    return Meminfo(
        total_bytes=total,
        available_bytes=available,
        swap_total_bytes=counts.get("SwapTotal"),
        swap_free_bytes=counts.get("SwapFree"),
        hugepages_bytes=counts.get("HugePages_Total", 0) * page,
        hugepages_free_bytes=counts.get("HugePages_Free", 0) * page,
    )


def probe(root: Path, meminfo: Meminfo, limits: Limits) -> Answer[Memory]:
    limit, unlimited = memlock(root)
    memory = Memory(
        total_bytes=meminfo.total_bytes,
        available_bytes=meminfo.available_bytes,
        memlock_limit_bytes=limit,
        memlock_unlimited=unlimited,
        cgroup_limit_bytes=limits.memory_limit_bytes,
        cgroup_available_bytes=limits.memory_available_bytes,
        swap_total_bytes=meminfo.swap_total_bytes,
        swap_free_bytes=meminfo.swap_free_bytes,
    )
    missing = [name for name in ("total_bytes", "available_bytes") if getattr(memory, name) is None]
    if missing:
        what = f"{root / 'proc/meminfo'} does not tell {' and '.join(missing)}"
        return Answer(memory, (Problem("memory", what, "mount /proc in this container"),), TOLD)
    return Answer(memory, told=TOLD)


def memlock(root: Path) -> tuple[int | None, bool]:
    """The soft limit in bytes and whether there is none for this process: (None, True) means unlimited.

    Read from /proc/self/limits, which shows what getrlimit(RLIMIT_MEMLOCK) returns.
    """
    found = MEMLOCK.search(files.read(root / "proc/self/limits") or "")
    status = files.fields(files.read(root / "proc/self/status"))
    if (found and found[1] == "unlimited") or _may_lock_anything(
        status, files.read(root / "proc/self/uid_map")
    ):
        return None, True
    return (files.integer(found[1]) if found else None), False


def _may_lock_anything(status: dict[str, str], uid_map: str | None) -> bool:
    """CAP_IPC_LOCK counts in the first user namespace only, so root in a rootless container is bound."""
    effective = files.integer("0x" + status.get("CapEff:", "0").strip())
    return bool((effective or 0) >> CAP_IPC_LOCK & 1) and (uid_map or "").split() == WHOLE_UID_RANGE
