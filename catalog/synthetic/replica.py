"""A replica: a model's true headers in sparse files of the true sizes, for an engine to judge by.

It takes as much disk as the headers: a few MB for a model of 60 GB, which need not be fetched for it.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from catalog.formats.byte_source import ByteSource, FileSource
from catalog.formats.gguf import reader
from catalog.hub import client
from catalog.hub.http_source import HttpSource
from domain.errors import BadModelError, DownloadError
from domain.model import Source, Weights
from domain.units import MIB

MOST_HEADER_BYTES = 128 * MIB
COPY_BYTES = 4 * MIB


def write(weights: Weights, folder: Path, *, within_s: float) -> Path:
    """The replica's first file, in ``folder``. Reads from where the weights are, here or on a server.

    Raises: BadModelError, DownloadError, also where it takes longer than ``within_s``."""
    deadline_s = time.monotonic() + within_s
    try:
        for file in weights.files:
            if not file.name.endswith(".gguf"):
                continue
            with closing(_opened(weights, file.name)) as source:
                _copy(source, folder / file.basename, deadline_s)
    except OSError as error:
        raise DownloadError(f"no replica can be written in {folder}: {error.strerror}") from error
    return folder / weights.files[0].basename


def _opened(weights: Weights, name: str) -> ByteSource:
    if weights.location is not None:
        return FileSource(Path(weights.location, name))
    if weights.source is Source.HUB and weights.revision:
        return client.open_file(client.Listing(weights.repo, weights.revision, ()), name)
    if weights.source is Source.URL:
        parts = urlsplit(weights.repo)
        beside = str(PurePosixPath(parts.path).with_name(name))
        return HttpSource(urlunsplit(parts._replace(path=beside)), name=name)
    raise DownloadError(f"the header of {weights.repo} {name} can't be read from {weights.source}")


def _copy(source: ByteSource, path: Path, deadline_s: float) -> None:
    with path.open("wb") as file:
        through = _Through(source, file.fileno(), deadline_s)
        reader.read_header(through)
        through.fill()
        file.truncate(source.size_bytes)


class _Through:
    """A ByteSource that writes what is read to the same place of another file: nothing is read twice."""

    def __init__(self, source: ByteSource, descriptor: int, deadline_s: float) -> None:
        self.name, self.size_bytes = source.name, source.size_bytes
        self.close: Callable[[], None] = source.close
        self._source, self._descriptor, self._deadline_s = source, descriptor, deadline_s
        self._have: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        if time.monotonic() > self._deadline_s:
            raise DownloadError(f"{self.name}: its header takes too long to read")
        if offset + length > MOST_HEADER_BYTES:
            raise BadModelError(f"{self.name}: its header is longer than {MOST_HEADER_BYTES // MIB} MiB")
        data = self._source.read(offset, length)
        os.pwrite(self._descriptor, data, offset)
        self._have.append((offset, offset + len(data)))
        return data

    def fill(self) -> None:
        """What the reader had no need of: the values of long arrays."""
        done = 0
        for begin, end in sorted(self._have):
            while done < begin:
                done += len(self.read(done, min(COPY_BYTES, begin - done)))
            done = max(done, end)
