"""Moves a user's weights to the service: renamed on the same file system, else copied and removed, so that no
file is there twice."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.units import GIB, gib

RESERVE_BYTES = GIB  # left free where files are copied, as downloads leave it by default
LOCKS = ".locks"  # of downloads; empty files


@dataclass(slots=True)
class Moved:
    """``left`` are paths with the reason."""

    renamed_bytes: int = 0
    copied_bytes: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int


def size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder) if not path.is_symlink())


def move(source: Path, target: Path, owner: Owner, is_readable: Callable[[Path], bool]) -> Moved:
    """All files below ``source``, links as links, to the same place below ``target``. What is there already,
    and a link to what the service can't read (``is_readable``), is left. Blocks. Raises: OSError."""
    moved = Moved()
    source, target = source.resolve(), target.resolve()
    files = list(_files(source))
    # Of folders: the files of an overlay have device numbers of their own.
    to_copy = size_bytes(source) if source.stat().st_dev != target.stat().st_dev else 0
    free = shutil.disk_usage(target).free
    if to_copy and to_copy + RESERVE_BYTES > free:
        why = f"{gib(to_copy)} would be copied to another file system, which has {gib(free)} free"
        moved.left.append((str(source), why))
        return moved
    for path in files:
        final = target / path.relative_to(source)
        reason = _reason_to_leave(path, final, source, target, is_readable)
        if reason:
            moved.left.append((str(path), reason))
        else:
            _move_file(path, final, target, owner, moved)
    _remove_empty(source)
    return moved


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != LOCKS]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in (*names, *links))


def _reason_to_leave(
    path: Path, final: Path, source: Path, target: Path, is_readable: Callable[[Path], bool]
) -> str:
    if os.path.lexists(final):
        return "the service has a file of that name"
    if not final.parent.resolve().is_relative_to(target):
        return f"{final.parent} leads out of {target}"
    if path.is_symlink():
        real = path.resolve()
        if not real.is_relative_to(source) and not is_readable(real):
            return f"it is a link to {real}, which the service can't read"
    elif not stat.S_ISREG(path.lstat().st_mode):
        return "it is not a file"
    return ""


def _move_file(path: Path, final: Path, target: Path, owner: Owner, moved: Moved) -> None:
    _make_folders(final.parent, target, owner)
    found = path.lstat()
    counted_bytes = 0 if path.is_symlink() else found.st_size
    try:
        path.rename(final)
        moved.renamed_bytes += counted_bytes
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = final.with_name(f".{final.name}.part")
        if path.is_symlink():
            part.symlink_to(path.readlink())
        else:
            shutil.copy2(path, part)
        part.rename(final)
        path.unlink()
        moved.copied_bytes += counted_bytes
    is_shared = found.st_nlink > 1 and not final.is_symlink()  # with another tool, whose file it stays
    os.chown(final, -1 if is_shared else owner.uid, owner.gid, follow_symlinks=False)
    if not final.is_symlink():
        final.chmod(stat.S_IMODE(found.st_mode) | stat.S_IRUSR | stat.S_IRGRP)


def _make_folders(folder: Path, target: Path, owner: Owner) -> None:
    """With the rights of ``target``."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, target, owner)
    folder.mkdir()
    os.chown(folder, owner.uid, owner.gid)
    folder.chmod(stat.S_IMODE(target.stat().st_mode))


def _remove_empty(folder: Path) -> None:
    shutil.rmtree(folder / LOCKS, ignore_errors=True)
    for parent, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # something is left in it
            Path(parent).rmdir()
