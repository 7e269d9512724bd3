"""Links in the store: from a snapshot to its blobs, and to blobs that another tool has.

Nothing is written outside the store: a folder of it that is a link to elsewhere is refused, and no link is
written through.
"""

import errno
import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from catalog.local import layout
from domain.models.model import WeightFile

# What exFAT, FAT, some FUSE file systems and network shares answer: symlink(2)
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})

log = logging.getLogger(__name__)


def check_inside(models_dir: Path, folder: Path) -> None:
    """Raises: DownloadError for a folder that a link leads out of the store."""
    root = models_dir.resolve()
    blobs = (folder.parents[1] / "blobs",) if folder.parent.name == "snapshots" else ()
    for path in (folder, *blobs):
        if not path.resolve().is_relative_to(root):
            raise layout.outside_error(path)


def link(blob: Path, name: Path, *, has_digest: bool) -> None:
    """Links ``name`` in a snapshot to ``blob``. If the listing had no digest, the blob is renamed to the git
    object id that the hub uses, after it is linked: without a link it could be deleted as a leftover. On a
    file system without links the blob is moved to ``name``, as the hub's client does."""
    named = blob if has_digest else blob.with_name(_git_object_id(blob))
    if not _replace_link(name, os.path.relpath(named, name.parent)):
        blob.replace(name)
    elif named != blob:
        blob.replace(named)


def link_from_elsewhere(repo: str, file: WeightFile, folder: Path, places: Sequence[Path]) -> bool:
    """Whether a file with this digest is in one of ``places`` and could be linked from there: by a hard link
    on the same file system, which remains when the other tool deletes its own, else by a symbolic one."""
    if file.sha256 is None:
        return False
    blob = folder.parents[1] / "blobs" / file.sha256
    if not layout.is_whole(blob, file.size_bytes):
        source = _find_blob(repo, file, file.sha256, places)
        if source is None:
            return False
        blob.parent.mkdir(parents=True, exist_ok=True)
        try:
            blob.unlink(missing_ok=True)
            blob.hardlink_to(source)
        except OSError:  # another file system, or a file of another user
            try:
                blob.symlink_to(source)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                return False
        log.info("linked: file=%s from=%s", file.name, source)
    link(blob, folder / file.name, has_digest=True)
    return True


def _find_blob(repo: str, file: WeightFile, sha256: str, places: Sequence[Path]) -> Path | None:
    for place in places:
        for path in (
            layout.repo_folder(place, repo) / "blobs" / sha256,  # the hub's layout
            place / "blobs" / f"sha256-{sha256}",  # Ollama's
        ):
            if layout.is_whole(path, file.size_bytes) and os.access(path, os.R_OK):
                return path.resolve()
    return None


def _replace_link(name: Path, target: str) -> bool:
    """Atomically: a reader finds the old link or the new one. False where there are no symbolic links."""
    name.parent.mkdir(parents=True, exist_ok=True)
    temporary = name.with_name(f".{name.name}.{os.getpid()}.link")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    temporary.replace(name)
    return True


def _git_object_id(path: Path) -> str:
    """The hub's name for a small file. Source: git-hash-object(1)."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
