"""Measures the bandwidth of the RAM: threads that copy, in C, buffers far larger than the last cache."""

import ctypes
import mmap
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from domain.units import MIB
from probes import sysfs
from probes.memory import cgroup, ram

BUDGET_S = 0.2  # of copying; making the buffers comes on top
MAX_THREADS = 16  # fewer fill the memory channels of any home machine
CACHE_FACTOR = 4  # each of the two buffers is that many times the last cache
SMALLEST_BYTES, LARGEST_BYTES = 64 * MIB, 512 * MIB
SHARE_OF_FREE = 8  # the two buffers together take at most an eighth of what is free


def measure(root: Path = Path("/")) -> float | None:
    """Bytes/s, read and written counted both: the best of the passes that fit in 0.2 s.

    Lines that a store first fetches are not counted; glibc's memmove avoids them for buffers this large.
    None where the RAM that is free doesn't allow buffers that caches can't hold.
    """
    size = buffer_bytes(last_cache_bytes(root), _free_bytes(root))
    if size is None:
        return None
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    part = size // threads // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(-1, part * threads) as source, mmap.mmap(-1, part * threads) as target:
        with suppress(OSError):  # a kernel without transparent huge pages: slower to fill, no less exact
            source.madvise(mmap.MADV_HUGEPAGE)
            target.madvise(mmap.MADV_HUGEPAGE)
        with ThreadPoolExecutor(threads) as pool:
            return max(_rates(pool, _address(source), _address(target), part, threads))


def buffer_bytes(last_cache: int | None, free: int | None) -> int | None:
    """Bytes of each of the two buffers: 4 x the last cache (32 MiB if unknown), in 64 to 512 MiB."""
    wanted = min(LARGEST_BYTES, max(SMALLEST_BYTES, CACHE_FACTOR * (last_cache or 32 * MIB)))
    return wanted if free is not None and 2 * wanted * SHARE_OF_FREE <= free else None


def last_cache_bytes(root: Path) -> int | None:
    """The last level of cache, all its instances together."""
    instances: dict[tuple[int, str], int] = {}
    cpus = root / "sys/devices/system/cpu"
    for cpu in sysfs.entries(cpus):
        for index in sysfs.entries(cpus / cpu / "cache") if cpu[3:].isdigit() else ():
            folder = cpus / cpu / "cache" / index
            level, size = sysfs.read_int(folder / "level"), sysfs.read(folder / "size") or ""
            kib = sysfs.integer(size.removesuffix("K"))
            if level and kib and size.endswith("K"):
                instances[level, sysfs.read(folder / "shared_cpu_list") or cpu] = kib * 1024
    last = max((level for level, _ in instances), default=0)
    return sum(size for (level, _), size in instances.items() if level == last) or None


def _free_bytes(root: Path) -> int | None:
    free = ram.read_meminfo(root).available_bytes
    room = cgroup.probe(root).memory_available_bytes
    return free if free is None or room is None else min(free, room)


def _address(buffer: mmap.mmap) -> int:
    """The export of the buffer is dropped at once, so that the map can be closed."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _rates(pool: ThreadPoolExecutor, source: int, target: int, part: int, threads: int) -> Iterator[float]:
    """One rate a pass. ctypes lets go of the interpreter's lock, so that the threads copy side by side."""
    offsets = [part * index for index in range(threads)]
    # an untouched page reads as the one page of zeros, which is in the cache
    list(pool.map(lambda offset: ctypes.memset(source + offset, 1, part), offsets))
    list(pool.map(lambda offset: ctypes.memset(target + offset, 1, part), offsets))
    end = time.monotonic() + BUDGET_S
    while True:
        began = time.monotonic()
        list(pool.map(lambda offset: ctypes.memmove(target + offset, source + offset, part), offsets))
        now = time.monotonic()
        yield 2 * part * threads / (now - began)
        if now > end:
            return
