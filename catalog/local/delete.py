"""Deletes weights: their links, then the blobs that no other link leads to. Follows no link."""

import contextlib
import logging
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from catalog.formats.registry import complete_quants
from catalog.local import blob_lock, layout
from catalog.local.tree import LocalTree
from domain.local_model import LocalModel
from domain.model import Source

log = logging.getLogger(__name__)


def remove(model: LocalModel) -> int:
    """Returns the bytes freed; files of other tools are left in place. Raises: OSError."""
    folder = Path(model.location)
    if model.source is not Source.HUB:
        freed_bytes = sum(file.size_bytes for file in model.files)
        shutil.rmtree(folder)
        return freed_bytes
    repo = folder.parents[1]
    for file in model.files:
        Path(file.path).unlink()
    if not _holds_weights(folder):
        for path in folder.rglob("*"):  # other files are of no use without weights
            if path.is_symlink():
                path.unlink()
    freed_bytes = _delete_unlinked_blobs(repo)
    _delete_empty_folders(folder, repo)
    log.info("removed: model=%s freed=%d", model.name, freed_bytes)
    return freed_bytes


def _holds_weights(folder: Path) -> bool:
    return bool(complete_quants(LocalTree(folder, layout.files_below(folder))))


def _delete_unlinked_blobs(repo: Path) -> int:
    """Removes complete blobs that no snapshot leads to. A file that is being downloaded has another name, and
    once it is complete its lock is held until it is linked."""
    freed = 0
    for blob in (repo / "blobs").iterdir() if (repo / "blobs").is_dir() else ():
        if blob.suffix:
            continue
        with blob_lock.held(blob_lock.lock_path(blob)) as is_ours:
            if not is_ours or blob.name in _linked_blobs(repo):
                continue
            if not blob.is_symlink() and blob.stat().st_nlink == 1:
                freed += blob.stat().st_size
            blob.unlink()
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


def _delete_empty_folders(folder: Path, repo: Path) -> None:
    """And the repository's folder, if it has neither a snapshot nor a blob."""
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()
    if not any((repo / "snapshots").iterdir()) and not any(repo.glob("blobs/*")):
        shutil.rmtree(repo)
