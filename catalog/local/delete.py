"""Takes weights off this disk: their names, then the blobs that no other name leads to. Follows no link."""

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


def remove(one: LocalModel) -> int:
    """Bytes that are free now; those of another tool's files stay where they are. Raises: OSError."""
    folder = Path(one.location)
    if one.source is not Source.HUB:
        freed = sum(file.size_bytes for file in one.files)
        shutil.rmtree(folder)
        return freed
    repo = folder.parents[1]
    for file in one.files:
        Path(file.path).unlink()
    if not _holds_weights(folder):
        for path in folder.rglob("*"):  # what lay beside the weights is of no use alone
            if path.is_symlink():
                path.unlink()
    freed = _unnamed_blobs(repo)
    _prune(folder, repo)
    log.info("removed: model=%s freed=%d", one.name, freed)
    return freed


def _holds_weights(folder: Path) -> bool:
    return bool(complete_quants(LocalTree(folder, metadata.files_below(folder))))


def _unnamed_blobs(repo: Path) -> int:
    """Removes complete blobs that no snapshot leads to; what is on its way has another name and stays."""
    named = {path.readlink().name for path in (repo / "snapshots").rglob("*") if path.is_symlink()}
    freed = 0
    for blob in (repo / "blobs").iterdir() if (repo / "blobs").is_dir() else ():
        if blob.name in named or blob.suffix:
            continue
        if not blob.is_symlink() and blob.stat().st_nlink == 1:
            freed += blob.stat().st_size
        blob.unlink()
    return freed


def leftovers(models_dir: Path) -> tuple[Path, ...]:
    """What downloads left: parts that nobody goes on with, and files that were set aside as damaged."""
    patterns = (
        "models--*/blobs/*.incomplete*",
        "models--*/blobs/*.damaged",
        "url/*/*.incomplete*",
        "url/*/*.damaged",
    )
    return tuple(path for pattern in patterns for path in sorted(models_dir.glob(pattern)) if path.is_file())


def sweep(paths: Sequence[Path]) -> int:
    """Bytes that are free now."""
    freed = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size_bytes = path.lstat().st_size
            path.unlink()
            freed += size_bytes
    return freed


def _prune(folder: Path, repo: Path) -> None:
    """Folders that are empty now; a repository without a snapshot keeps nothing that is worth it."""
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()
    if not any((repo / "snapshots").iterdir()) and not any(repo.glob("blobs/*")):
        shutil.rmtree(repo)
