"""A file that is on its way: the bytes that are here, their digest, and how many survive a power cut."""

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
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4): another one after each boot


class PartialFile:
    """One open ``.incomplete`` file; ``with`` closes it. Its holder has the lock on it.

    After a boot only those bytes count that were known to be on the disk: a file system may keep the length
    of a file through a power cut and lose its last blocks. ``tag`` is the server's word for the version.
    """

    def __init__(self, path: Path) -> None:
        """Raises: OSError, DownloadError for a link in its place."""
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

    def take_up(self) -> Iterator[int]:
        """What an earlier download left, read again for its digest; bytes so far."""
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
        """Unbuffered: what is counted outlives this process. Raises: OSError; what fitted is counted."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._file, rest)
            self._digest.update(rest[:written])
            self.done_bytes += written
            rest = rest[written:]
        if self.done_bytes - self._synced_bytes >= SYNC_EVERY_BYTES and not self._is_syncing():
            self._syncing = threading.Thread(target=self._sync, args=(self.done_bytes,), daemon=True)
            self._syncing.start()

    def begin(self, tag: str | None) -> None:
        """The version that the next bytes are of."""
        self.tag = tag
        self._note()

    def restart(self) -> None:
        """From the first byte."""
        self._join()
        os.truncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.done_bytes = self._synced_bytes = 0
        self.tag = None

    def become(self, final: Path) -> None:
        """On the disk, and only then called by its final name. Raises: OSError."""
        self._join()
        os.fsync(self._file)
        self.path.replace(final)
        _sync_folder(final.parent)
        self._notes_path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Out of the way, to be looked at: ``<name>.damaged``. The next bytes go to a new file."""
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
        """Beside the download: a slow disk must not stop the line."""
        try:
            os.fdatasync(self._file)
            self._synced_bytes = done_bytes
            self._note()
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
            found = json.loads(self._notes_path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _note(self) -> None:
        """Both values are read under the lock: whoever writes last writes the newest of each."""
        with self._notes_lock:
            notes = {"tag": self.tag, "synced_bytes": self._synced_bytes, "boot_id": _boot_id()}
            beside = self._notes_path.with_suffix(".new")
            beside.write_text(json.dumps(notes))
            beside.replace(self._notes_path)


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


def _sync_folder(folder: Path) -> None:
    """So that a name survives a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
