"""Where header bytes come from: ranges of a local file, or of anything else that answers them."""

import os
from pathlib import Path
from typing import Protocol

from domain.errors import BadModelError


class ByteSource(Protocol):
    """``name`` is for messages. ``read`` answers short only at the end of the file."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def close(self) -> None: ...


def unreadable(path: Path | str, error: OSError) -> BadModelError:
    """What the file system refuses, in words. A service's user sees less than the one who asks."""
    closed = "node-daemon's user may not read it: put it into models_dir (node-ctl status), or open it"
    return BadModelError(
        f"{path} cannot be read: {error.strerror}", hint=closed if isinstance(error, PermissionError) else ""
    )


class FileSource:
    """A file on this disk. Raises: BadModelError where it cannot be read or is no regular file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            if not path.is_file():
                raise BadModelError(f"{path} is no file")
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise unreadable(path, error) from error
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise unreadable(self._path, error) from error

    def close(self) -> None:
        os.close(self._descriptor)
