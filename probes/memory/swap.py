"""Swap on disks and swap in compressed RAM (zram), reported apart: only the first adds memory."""

import re
from dataclasses import dataclass

ZRAM = re.compile(r"/dev/zram[0-9]+")


@dataclass(frozen=True, slots=True)
class Swaps:
    """zram's bytes are those before compression: how much RAM they will take is unknown."""

    disk_total_bytes: int = 0
    disk_free_bytes: int = 0
    zram_total_bytes: int = 0
    zram_free_bytes: int = 0


def parse(text: str | None) -> Swaps | None:
    """``/proc/swaps`` (proc_swaps(5)): name, type, size and used in KiB, priority. None without a header."""
    lines = (text or "").splitlines()
    if not lines or not lines[0].startswith("Filename"):
        return None
    disk, zram = [0, 0], [0, 0]
    for line in lines[1:]:
        words = line.split()
        if len(words) < 5 or not all(re.fullmatch(r"[0-9]{1,15}", word) for word in words[-3:-1]):
            continue
        size, used = int(words[-3]), int(words[-2])
        sums = zram if ZRAM.fullmatch(words[0]) else disk
        sums[0] += size * 1024
        sums[1] += max(0, size - used) * 1024
    return Swaps(*disk, *zram)
