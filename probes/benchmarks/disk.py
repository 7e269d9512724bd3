"""Measures the read rate of the disk that holds the weights: one reader, direct I/O, at most 0.25 s."""

import mmap
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from domain.machine.host import StorageKind
from domain.units import MIB
from probes import storage
from probes.memo import Memo

BUDGET_S = 0.25
CHUNK_BYTES = 8 * MIB
BLOCK_BYTES = 512  # of st_blocks: stat(2)
MIN_BYTES = 64 * MIB  # a smaller file may be in the drive's buffer
MAX_BYTES = 1024 * MIB
MIN_FREE_BYTES = 16 * MIN_BYTES  # nothing is written to a disk with less free space
TRIAL_NAME = ".read-rate"  # of the file that exists while the rate is measured without weights
WEIGHT_SUFFIXES = (".gguf", ".safetensors")


@dataclass(frozen=True, slots=True)
class ReadRate:
    """``of_weights``: a file of weights was read, not one that was written for the measurement. The drive
    may still have the latter in its buffer."""

    bytes_per_s: float
    of_weights: bool


def measure(root: Path, models_dir: Path) -> ReadRate | None:
    """None if it cannot be measured: a file system in memory, no direct I/O (macOS, some network file
    systems), no weights and no permission to write, a disk that is nearly full."""
    if not hasattr(os, "O_DIRECT"):
        return None
    if storage.probe(root, models_dir, Memo()).value.device_kind is StorageKind.MEMORY:
        return None
    weights = largest_weights(models_dir)
    if weights is not None:
        return _measure_file(weights, of_weights=True)
    folder = storage.nearest_existing(models_dir)
    with suppress(OSError):
        stat = os.statvfs(folder)
        if stat.f_bavail * stat.f_frsize >= MIN_FREE_BYTES:
            return _measure_trial(folder / f"{TRIAL_NAME}-{os.getpid()}")
    return None


def largest_weights(models_dir: Path) -> Path | None:
    """The largest file of weights with at least 64 MiB on the disk, without holes, whose reading costs
    nothing. Partial downloads have other suffixes."""
    sizes: list[tuple[int, Path]] = []
    for folder, _, names in os.walk(models_dir):
        for path in (Path(folder) / name for name in names if name.endswith(WEIGHT_SUFFIXES)):
            with suppress(OSError):
                stat = path.stat()
                sizes.append((min(stat.st_size, stat.st_blocks * BLOCK_BYTES), path))
    size, largest = max(sizes, default=(0, models_dir))
    return largest if size >= MIN_BYTES else None


def _measure_trial(path: Path) -> ReadRate | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()  # at once, so that it is gone even after a crash
        random_bytes = os.urandom(CHUNK_BYTES)  # some file systems compress
        for _ in range(MIN_BYTES // CHUNK_BYTES):
            os.write(descriptor, random_bytes)
        os.fsync(descriptor)
        return _measure_file(Path(f"/proc/self/fd/{descriptor}"), of_weights=False)
    finally:
        os.close(descriptor)


def _measure_file(path: Path, *, of_weights: bool) -> ReadRate | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:  # EINVAL: no direct I/O here
        return None
    try:
        with closing(mmap.mmap(-1, CHUNK_BYTES)) as buffer:  # page-aligned, as direct I/O requires
            rates = list(_chunk_rates(descriptor, buffer, time.monotonic() + BUDGET_S))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return ReadRate(statistics.median(rates), of_weights) if rates else None


def _chunk_rates(descriptor: int, buffer: mmap.mmap, until_s: float) -> Iterator[float]:
    """The rate of each whole chunk. Their median ignores chunks that had to wait for other programs."""
    offset = 0
    while offset < MAX_BYTES and time.monotonic() < until_s:
        started_s = time.monotonic()
        if os.preadv(descriptor, [buffer], offset) < CHUNK_BYTES:
            return
        yield CHUNK_BYTES / max(time.monotonic() - started_s, 1e-6)
        offset += CHUNK_BYTES
