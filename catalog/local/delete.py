"""Deletes weights: their links, then the blobs that no other link leads to. Follows no link."""

import contextlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from catalog.formats.registry import complete_quants
from catalog.local import metadata
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
    return bool(complete_quants(LocalTree(folder, metadata.files_below(folder))))


def _delete_unlinked_blobs(repo: Path) -> int:
    """Returns the bytes freed. Unfinished downloads, which have a suffix, are left in place."""
    linked = {path.readlink().name for path in (repo / "snapshots").rglob("*") if path.is_symlink()}
    freed_bytes = 0
    for blob in (repo / "blobs").iterdir() if (repo / "blobs").is_dir() else ():
        if blob.name in linked or blob.suffix:
            continue
        if not blob.is_symlink() and blob.stat().st_nlink == 1:
            freed_bytes += blob.stat().st_size
        blob.unlink()
    return freed_bytes


def leftovers(models_dir: Path) -> tuple[Path, ...]:
    """Unfinished downloads, and files that were set aside as damaged."""
    patterns = (
        "models--*/blobs/*.incomplete*",
        "models--*/blobs/*.damaged",
        "url/*/*.incomplete*",
        "url/*/*.damaged",
    )
    return tuple(path for pattern in patterns for path in sorted(models_dir.glob(pattern)) if path.is_file())


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
