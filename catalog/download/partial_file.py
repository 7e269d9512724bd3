"""A file that is being fetched: its bytes so far, their digest, and how many of them survive a power cut."""

import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from domain.errors import DownloadError
from domain.units import MIB

log = logging.getLogger(__name__)
SYNC_EVERY_BYTES = 256 * MIB
READ_BYTES = MIB
NO_FSYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4): a new one at each boot


class PartialFile:
    """An open ``.incomplete`` file; ``with`` closes it. The caller holds the lock on it.

    After a boot, only bytes that were synced count: through a power cut a file system may keep a file's
    length and lose its last blocks. ``tag`` is the server's ``ETag``.
    """

    def __init__(self, path: Path) -> None:
        """Raises: OSError, DownloadError if ``path`` is a symbolic link."""
        if path.is_symlink():
            raise DownloadError(f"{path} is a link, and downloads are not written through links")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.path = path
        self.done_bytes = 0
        self.tag: str | None = None
        self._file = os.open(path, flags, 0o644)
        self._digest = hashlib.sha256()
        self._synced_bytes = 0
        self._syncing: threading.Thread | None = None
        self._notes_lock = threading.Lock()  # the download's thread and the syncing one both write them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._join()
        os.close(self._file)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def can_hold(self, size_bytes: int) -> bool:
        """Whether the file system has files of this size: FAT's end at 4 GiB. Source: lseek(2), EINVAL."""
        here = os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            os.lseek(self._file, size_bytes, os.SEEK_SET)
        except OSError:
            return False
        os.lseek(self._file, here, os.SEEK_SET)
        return True

    def resume(self) -> Iterator[int]:
        """Reads what an earlier download left, to compute its digest; yields the bytes read so far."""
        notes = self._notes()
        self.tag = notes.get("tag")
        if notes and notes.get("boot_id") != _boot_id():
            os.truncate(self._file, min(int(notes.get("synced_bytes") or 0), os.fstat(self._file).st_size))
        while data := os.read(self._file, READ_BYTES):
            self._digest.update(data)
            self.done_bytes += len(data)
            yield self.done_bytes
        self._synced_bytes = self.done_bytes

    def write(self, data: bytes) -> None:
        """Unbuffered: bytes that are counted outlive this process. Raises: OSError, after counting the bytes
        that were written."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self._digest.update(rest[:written])
            self.done_bytes += written
            rest = rest[written:]
        if self.done_bytes - self._synced_bytes >= SYNC_EVERY_BYTES and not self._is_syncing():
            self._syncing = threading.Thread(target=self._sync, args=(self.done_bytes,), daemon=True)
            self._syncing.start()

    def set_tag(self, tag: str | None) -> None:
        """The version that the next bytes belong to."""
        self.tag = tag
        self._save_notes()

    def restart(self) -> None:
        """Drops all bytes."""
        self._join()
        os.truncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.done_bytes = self._synced_bytes = 0
        self.tag = None

    def publish(self, final: Path) -> None:
        """Syncs the file, then gives it its final name. Raises: OSError."""
        self._join()
        _fsync(self._file)
        self.path.replace(final)
        _sync_folder(final.parent)
        self._notes_path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Renames the file to ``<name>.damaged``, to be looked at. The next bytes go to a new file."""
        aside = self.path.with_suffix(".damaged")
        self._join()
        self.path.replace(aside)
        os.close(self._file)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o644)
        self.restart()
        self._notes_path.unlink(missing_ok=True)
        return aside

    def _is_syncing(self) -> bool:
        return self._syncing is not None and self._syncing.is_alive()

    def _sync(self, done_bytes: int) -> None:
        """In a thread of its own: a slow disk must not hold up the network."""
        try:
            os.fdatasync(self._file)
            self._synced_bytes = done_bytes
            self._save_notes()
        except OSError as error:
            log.warning("not synced: file=%s why=%s", self.path, error)

    def _join(self) -> None:
        if self._syncing is not None:
            self._syncing.join()

    @property
    def _notes_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _notes(self) -> Mapping[str, str]:
        try:
            notes = json.loads(self._notes_path.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def _save_notes(self) -> None:
        """Both values are read under the lock: the last writer writes the newest of each."""
        with self._notes_lock:
            notes = {"tag": self.tag, "synced_bytes": self._synced_bytes, "boot_id": _boot_id()}
            unfinished = self._notes_path.with_suffix(".new")
            unfinished.write_text(json.dumps(notes))
            unfinished.replace(self._notes_path)


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


def _sync_folder(folder: Path) -> None:
    """So that a rename survives a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int) -> None:
    """As far as the file system has it: some of FUSE and of network shares don't."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise
