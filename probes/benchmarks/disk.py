"""How fast one reader gets bytes from the disk of the weights: past the page cache, a quarter of a second."""

import mmap
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from domain.host import StorageKind
from domain.units import MIB
from probes import storage
from probes.memo import Memo

BUDGET_S = 0.25
CHUNK_BYTES = 8 * MIB
BLOCK_BYTES = 512  # of st_blocks: stat(2)
LEAST_BYTES = 64 * MIB  # a smaller file says more of the drive's buffer than of the drive
MOST_BYTES = 1024 * MIB
SPARE_BYTES = 16 * LEAST_BYTES  # nothing is written to a disk that has less free
TRIAL_NAME = ".read-rate"  # a file of ours, there while it is measured
WEIGHTS = (".gguf", ".safetensors")


@dataclass(frozen=True, slots=True)
class ReadRate:
    """``of_weights`` tells a file of weights from one that was just written for this: what was written last
    a drive may still have in its buffer."""

    bytes_per_s: float
    of_weights: bool


def measure(root: Path, models_dir: Path) -> ReadRate | None:
    """None where it can't be known: files in memory, no direct I/O (macOS, some network file systems), no
    weights and no right to write, a disk that is nearly full."""
    if not hasattr(os, "O_DIRECT"):
        return None
    if storage.probe(root, models_dir, Memo()).value.device_kind is StorageKind.MEMORY:
        return None
    weights = largest_weights(models_dir)
    if weights is not None:
        return _rate(weights, of_weights=True)
    folder = storage.existing(models_dir)
    with suppress(OSError):
        stat = os.statvfs(folder)
        if stat.f_bavail * stat.f_frsize >= SPARE_BYTES:
            return _of_trial(folder / f"{TRIAL_NAME}-{os.getpid()}")
    return None


def largest_weights(models_dir: Path) -> Path | None:
    """Of 64 MiB at least that are on the disk: holes are read at no cost. Parts of downloads have other
    names."""
    sizes: list[tuple[int, Path]] = []
    for folder, _, names in os.walk(models_dir):
        for path in (Path(folder) / name for name in names if name.endswith(WEIGHTS)):
            with suppress(OSError):
                stat = path.stat()
                sizes.append((min(stat.st_size, stat.st_blocks * BLOCK_BYTES), path))
    size, largest = max(sizes, default=(0, models_dir))
    return largest if size >= LEAST_BYTES else None


def _of_trial(path: Path) -> ReadRate | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()  # so that nothing is left whatever happens
        noise = os.urandom(CHUNK_BYTES)  # what can be compressed, some file systems store as less
        for _ in range(LEAST_BYTES // CHUNK_BYTES):
            os.write(descriptor, noise)
        os.fsync(descriptor)
        return _rate(Path(f"/proc/self/fd/{descriptor}"), of_weights=False)
    finally:
        os.close(descriptor)


def _rate(path: Path, *, of_weights: bool) -> ReadRate | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:  # EINVAL: no direct I/O here
        return None
    try:
        with closing(mmap.mmap(-1, CHUNK_BYTES)) as buffer:  # page-aligned, as direct I/O wants it
            rates = list(_rates(descriptor, buffer, time.monotonic() + BUDGET_S))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return ReadRate(statistics.median(rates), of_weights) if rates else None


def _rates(descriptor: int, buffer: mmap.mmap, until_s: float) -> Iterator[float]:
    """Of each whole chunk: the median of them forgets one for which others were served first."""
    offset = 0
    while offset < MOST_BYTES and time.monotonic() < until_s:
        began = time.monotonic()
        if os.preadv(descriptor, [buffer], offset) < CHUNK_BYTES:
            return
        yield CHUNK_BYTES / max(time.monotonic() - began, 1e-6)
        offset += CHUNK_BYTES
