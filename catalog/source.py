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


class FileSource:
    """A file on this disk. Raises: BadModelError where it cannot be read or is no regular file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        if not path.is_file():
            raise BadModelError(f"{path} is no file")
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise BadModelError(f"{path} cannot be opened: {error.strerror}") from error
        self.size_bytes = os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise BadModelError(f"{self._path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._descriptor)
