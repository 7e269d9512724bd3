"""Moves a user's weights to the service: renamed on the same file system, else copied and removed, so that no
file is there twice.

It runs as root in folders that others can change meanwhile. So no path is looked up twice: folders are opened
one below the other without following links, a file is changed only by its descriptor, and only what belongs
to the user is taken.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.units import GIB, gib

RESERVE_BYTES = GIB  # left free where files are copied, as downloads leave it by default
LOCKS = ".locks"  # of downloads, and leases; without them nothing is lost
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NOT_A_FOLDER = (errno.ELOOP, errno.ENOTDIR)  # open(2): a link with O_NOFOLLOW
CHANGED = "it was changed while it was moved"


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


@dataclass(frozen=True, slots=True)
class _Place:
    """A name in an open folder."""

    folder: int
    name: str

    def stat(self) -> os.stat_result | None:
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds(self, found: os.stat_result) -> bool:
        now = self.stat()
        return now is not None and os.path.samestat(now, found)

    def move(self, to: "_Place") -> None:
        os.rename(self.name, to.name, src_dir_fd=self.folder, dst_dir_fd=to.folder)

    def unlink(self) -> None:
        os.unlink(self.name, dir_fd=self.folder)


class _LeftError(Exception):
    """The text says why a file is left where it is."""


def size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder) if not path.is_symlink())


def move(source: Path, target: Path, owner: Owner, is_readable: Callable[[Path], bool], *, uid: int) -> Moved:
    """All files of the user ``uid`` below ``source``, links as links, to the same place below ``target``.
    What is there already, and a link to what the service can't read (``is_readable``), is left. Blocks.
    Raises: OSError."""
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
        below = path.relative_to(source).parts
        try:
            _check_link(path, source, is_readable)
            with _folder(source, below[:-1]) as parent, _made_folder(target, below[:-1], owner) as final:
                _move_file(_Place(parent, below[-1]), _Place(final, below[-1]), owner, uid, moved)
        except _LeftError as error:
            moved.left.append((str(path), str(error)))
    _remove_empty(source, uid)
    return moved


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != LOCKS]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in (*names, *links))


def _check_link(path: Path, source: Path, is_readable: Callable[[Path], bool]) -> None:
    """Advice for the owner, no protection: what is moved is the link. Raises: _LeftError."""
    if path.is_symlink():
        real = path.resolve()
        if not real.is_relative_to(source) and not is_readable(real):
            raise _LeftError(f"it is a link to {real}, which the service can't read")


def _move_file(place: _Place, final: _Place, owner: Owner, uid: int, moved: Moved) -> None:
    """Raises: _LeftError, OSError."""
    found = place.stat()
    if found is None:
        raise _LeftError(CHANGED)
    if final.stat() is not None:
        raise _LeftError("the service has a file of that name")
    if found.st_uid != uid:  # a hard link to a file of root would come to belong to the service
        raise _LeftError(f"it belongs to the user {found.st_uid}")
    if stat.S_ISLNK(found.st_mode):
        _move_link(place, final, found)
    elif stat.S_ISREG(found.st_mode):
        with _open_file(place, found) as descriptor:
            _move_regular(place, final, descriptor, owner, moved)
    else:
        raise _LeftError("it is not a file")


def _move_link(place: _Place, final: _Place, found: os.stat_result) -> None:
    """Who owns a link is of no matter."""
    try:
        _rename(place, final, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.symlink(os.readlink(place.name, dir_fd=place.folder), final.name, dir_fd=final.folder)
        place.unlink()


def _move_regular(place: _Place, final: _Place, descriptor: int, owner: Owner, moved: Moved) -> None:
    found = os.fstat(descriptor)
    mode = stat.S_IMODE(found.st_mode) & 0o777 | stat.S_IRUSR | stat.S_IRGRP
    try:
        _rename(place, final, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(descriptor, final, owner, mode)
        if place.holds(found):
            place.unlink()
        moved.copied_bytes += found.st_size
        return
    is_shared = found.st_nlink > 1  # with another tool, whose file it stays
    os.fchown(descriptor, -1 if is_shared else owner.uid, owner.gid)
    os.fchmod(descriptor, mode)
    moved.renamed_bytes += found.st_size


def _rename(place: _Place, final: _Place, found: os.stat_result) -> None:
    """Raises: _LeftError where another file has the name by now; OSError."""
    place.move(final)
    if not final.holds(found):
        if place.stat() is None:
            final.move(place)
        raise _LeftError(CHANGED)


def _copy(descriptor: int, final: _Place, owner: Owner, mode: int) -> None:
    part, found = _Place(final.folder, f".{final.name}.part"), os.fstat(descriptor)
    with suppress(FileNotFoundError):
        part.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    copy = os.open(part.name, flags, 0o600, dir_fd=part.folder)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as data, os.fdopen(copy, "wb", closefd=False) as out:
            shutil.copyfileobj(data, out, 1 << 20)
        os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fchown(copy, owner.uid, owner.gid)
        os.fchmod(copy, mode)
        made = os.fstat(copy)
    finally:
        os.close(copy)
    _rename(part, final, made)


@contextmanager
def _open_file(place: _Place, found: os.stat_result) -> Iterator[int]:
    """Raises: _LeftError where another file has the name by now."""
    try:
        descriptor = os.open(place.name, FILE_FLAGS, dir_fd=place.folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENXIO):
            raise _LeftError(CHANGED) from error
        raise
    try:
        if not os.path.samestat(os.fstat(descriptor), found):
            raise _LeftError(CHANGED)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _folder(root: Path, names: Sequence[str]) -> Iterator[int]:
    """``names`` below ``root``, open. Raises: _LeftError where one of them is a link."""
    descriptor = os.open(root, FOLDER_FLAGS)
    try:
        for name in names:
            descriptor = _step(descriptor, name, root)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _made_folder(root: Path, names: Sequence[str], owner: Owner) -> Iterator[int]:
    """As ``_folder``; those that are missing are made, with the rights of ``root``."""
    descriptor = os.open(root, FOLDER_FLAGS)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        for name in names:
            is_new = False
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=descriptor)
                is_new = True
            descriptor = _step(descriptor, name, root)
            if is_new and os.fstat(descriptor).st_uid == os.geteuid():
                os.fchown(descriptor, owner.uid, owner.gid)
                os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


def _step(folder: int, name: str, root: Path) -> int:
    """The folder ``name`` in ``folder``, which is closed if that succeeds. Raises: _LeftError, OSError."""
    try:
        below = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno in NOT_A_FOLDER:
            raise _LeftError(f"{name} leads out of {root}") from error
        if error.errno == errno.ENOENT:
            raise _LeftError(CHANGED) from error
        raise
    os.close(folder)
    return below


def _remove_empty(folder: Path, uid: int) -> None:
    """Folders of the user that nothing is left in, and what only locked."""
    with suppress(OSError):
        if (folder / LOCKS).lstat().st_uid == uid:
            shutil.rmtree(folder / LOCKS)  # without following links: shutil.rmtree.avoids_symlink_attacks
    for _, folders, _, parent in os.fwalk(folder, topdown=False):
        for name in folders:
            _remove_empty_folder(name, parent, uid)
    with suppress(OSError):
        if folder.lstat().st_uid == uid:
            folder.rmdir()


def _remove_empty_folder(name: str, parent: int, uid: int) -> None:
    with suppress(OSError):  # something is left in it
        if os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid == uid:
            os.rmdir(name, dir_fd=parent)
