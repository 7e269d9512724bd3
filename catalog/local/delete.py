"""Deletes weights: their links, then the blobs that no other link leads to. Follows no link.

What downloads did not write stays, with the folders that hold it.
"""

import contextlib
import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from catalog.formats.registry import complete_quants
from catalog.local import blob_lock, layout
from catalog.local.tree import LocalTree
from domain.models.local_model import LocalModel
from domain.models.model import Source

log = logging.getLogger(__name__)


_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # names of blobs: sha256, git's sha1
_NOTES = ("refs/*", ".no_exist/*/*", "node-daemon/*.json")  # of the hub's client, and of ours


def remove(model: LocalModel) -> int:
    """Returns the bytes freed; files of other tools are left in place. Raises: OSError."""
    folder = Path(model.location)
    if model.source is not Source.HUB:
        freed_bytes = sum(_delete_file(Path(file.path)) for file in model.files)
        _delete_empty(folder)
        return freed_bytes
    repo = folder.parents[1]
    freed_bytes = sum(_delete_name(Path(file.path)) for file in model.files)
    if not _holds_weights(folder):
        fetched = layout.manifest(folder)  # on a file system without links they are no links
        for path in folder.rglob("*"):  # other files are of no use without weights
            is_link = path.is_symlink() and path.readlink().parent.name == "blobs"
            if is_link or (path.is_file() and str(path.relative_to(folder)) in fetched):
                path.unlink()
    freed_bytes += _delete_unlinked_blobs(repo)
    _delete_empty(folder)
    if not any((repo / "snapshots").iterdir()) and not any(repo.glob("blobs/*")):
        for note in (note for pattern in _NOTES for note in repo.glob(pattern)):
            with contextlib.suppress(OSError):
                note.unlink()
        _delete_empty(repo)
    log.info("removed: model=%s freed=%d", model.name, freed_bytes)
    return freed_bytes


def _delete_name(path: Path) -> int:
    """The bytes freed: none by a link."""
    is_link = path.is_symlink()
    freed_bytes = _delete_file(path)
    return 0 if is_link else freed_bytes


def _delete_file(path: Path) -> int:
    """The bytes freed: none where another name leads to them."""
    found = path.lstat()
    path.unlink()
    return found.st_size if found.st_nlink == 1 else 0


def _holds_weights(folder: Path) -> bool:
    return bool(complete_quants(LocalTree(folder, layout.files_below(folder))))


def _delete_unlinked_blobs(repo: Path) -> int:
    """Removes complete blobs that no snapshot leads to. A file that is being downloaded has another name, and
    once it is complete its lock is held until it is linked."""
    freed = 0
    for blob in (repo / "blobs").iterdir() if (repo / "blobs").is_dir() else ():
        if not _DIGEST.fullmatch(blob.name) or (blob.is_dir() and not blob.is_symlink()):
            continue
        with blob_lock.held(blob_lock.lock_path(blob)) as is_ours:
            if not is_ours or blob.name in _linked_blobs(repo):
                continue
            freed += _delete_name(blob)
    return freed


def _linked_blobs(repo: Path) -> set[str]:
    return {path.readlink().name for path in (repo / "snapshots").rglob("*") if path.is_symlink()}


def leftovers(models_dir: Path, wanted: Collection[Path] = ()) -> tuple[Path, ...]:
    """What downloads left: parts that nobody goes on with, and files that were set aside as damaged. Neither
    ``wanted`` parts nor those that another process writes to now."""
    patterns = (
        "models--*/blobs/*.incomplete*",
        "models--*/blobs/*.damaged",
        "url/*/*.incomplete*",
        "url/*/*.damaged",
    )
    found = (path for pattern in patterns for path in sorted(models_dir.glob(pattern)) if path.is_file())
    return tuple(path for path in found if not _is_wanted(path, wanted))


def _is_wanted(path: Path, wanted: Collection[Path]) -> bool:
    if path.with_suffix("") in wanted or path in wanted:  # the notes of a part, and the part
        return True
    with blob_lock.held(blob_lock.lock_path(path)) as is_ours:
        return not is_ours


def sweep(paths: Sequence[Path]) -> int:
    """Returns the bytes freed."""
    freed_bytes = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size_bytes = path.lstat().st_size
            path.unlink()
            freed_bytes += size_bytes
    return freed_bytes


def _delete_empty(folder: Path) -> None:
    """``folder`` and those below it, as far as nothing is in them."""
    below = (path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())
    for path in (*sorted(below, reverse=True), folder):
        with contextlib.suppress(OSError):
            path.rmdir()
