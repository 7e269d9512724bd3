"""Measures the bandwidth of the RAM: threads copy, in C, buffers far larger than the last-level cache."""

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

BUDGET_S = 0.2  # for copying, without the time to allocate the buffers
MAX_THREADS = 16  # enough to saturate the memory channels of any home machine
CACHE_FACTOR = 4  # size of each of the two buffers in last-level caches
MIN_BUFFER_BYTES, MAX_BUFFER_BYTES = 64 * MIB, 512 * MIB
FREE_DIVISOR = 8  # the two buffers together take at most an eighth of what is free


def measure(root: Path = Path("/")) -> float | None:
    """Bytes/s, with bytes read and bytes written both counted: the best of the passes that fit in 0.2 s.

    Cache lines that a store fetches first are not counted; glibc's memmove avoids them for large buffers.
    None if too little RAM is free for buffers larger than the caches.
    """
    size = buffer_bytes(last_level_cache_bytes(root), _free_bytes(root))
    if size is None:
        return None
    threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
    part = size // threads // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(-1, part * threads) as source, mmap.mmap(-1, part * threads) as target:
        with suppress(OSError):  # without transparent huge pages: slower to fill, equally exact
            source.madvise(mmap.MADV_HUGEPAGE)
            target.madvise(mmap.MADV_HUGEPAGE)
        with ThreadPoolExecutor(threads) as pool:
            return max(_pass_rates(pool, _address(source), _address(target), part, threads))


def buffer_bytes(last_cache: int | None, free: int | None) -> int | None:
    """Bytes of each of the two buffers: 4 x the last-level cache (32 MiB if unknown), 64 to 512 MiB."""
    wanted = min(MAX_BUFFER_BYTES, max(MIN_BUFFER_BYTES, CACHE_FACTOR * (last_cache or 32 * MIB)))
    return wanted if free is not None and 2 * wanted * FREE_DIVISOR <= free else None


def last_level_cache_bytes(root: Path) -> int | None:
    """All instances of the last-level cache together."""
    instances: dict[tuple[int, str], int] = {}
    cpus = root / "sys/devices/system/cpu"
    for cpu in sysfs.entries(cpus):
        for index in sysfs.entries(cpus / cpu / "cache") if cpu[3:].isdigit() else ():
            folder = cpus / cpu / "cache" / index
            level, size = sysfs.read_int(folder / "level"), sysfs.read(folder / "size") or ""
            kib = sysfs.parse_int(size.removesuffix("K"))
            if level and kib and size.endswith("K"):
                instances[level, sysfs.read(folder / "shared_cpu_list") or cpu] = kib * 1024
    last = max((level for level, _ in instances), default=0)
    return sum(size for (level, _), size in instances.items() if level == last) or None


def _free_bytes(root: Path) -> int | None:
    free = ram.read_meminfo(root).available_bytes
    headroom = cgroup.probe(root).memory_available_bytes
    return free if free is None or headroom is None else min(free, headroom)


def _address(buffer: mmap.mmap) -> int:
    """The buffer's export is released at once, so that the map can be closed."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _pass_rates(
    pool: ThreadPoolExecutor, source: int, target: int, part: int, threads: int
) -> Iterator[float]:
    """One rate per pass. ctypes releases the interpreter's lock, so the threads copy in parallel."""
    offsets = [part * index for index in range(threads)]
    # untouched pages all map to the one page of zeros, which would stay in the cache
    list(pool.map(lambda offset: ctypes.memset(source + offset, 1, part), offsets))
    list(pool.map(lambda offset: ctypes.memset(target + offset, 1, part), offsets))
    deadline_s = time.monotonic() + BUDGET_S
    while True:
        started_s = time.monotonic()
        list(pool.map(lambda offset: ctypes.memmove(target + offset, source + offset, part), offsets))
        ended_s = time.monotonic()
        yield 2 * part * threads / (ended_s - started_s)
        if ended_s > deadline_s:
            return
