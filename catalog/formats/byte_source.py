"""Where header bytes come from: ranges of a local file, or of anything else that answers them."""

import os
from pathlib import Path
from typing import Protocol

from domain.errors import BadModelError


class ByteSource(Protocol):
    """``name`` is for messages. ``read`` returns fewer than ``length`` bytes only at the end of the file."""

    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def close(self) -> None: ...


def unreadable(path: Path | str, error: OSError) -> BadModelError:
    """An error of the file system. The service's user may read less than the user who asks."""
    hint = "node-daemon's user may not read it: put it into models_dir (node-ctl status), or grant access"
    return BadModelError(
        f"{path} cannot be read: {error.strerror}", hint=hint if isinstance(error, PermissionError) else ""
    )


class FileSource:
    """A file on this disk. Raises: BadModelError if it is not a regular file or cannot be read."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        try:
            if not path.is_file():
                raise BadModelError(f"{path} is not a file")
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
