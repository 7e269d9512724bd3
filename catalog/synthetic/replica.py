"""Writes a replica: a model's headers in sparse files of its true sizes, for an engine's dry run.

It takes as much disk space as the headers, a few MB for a model of 60 GB, which need not be downloaded.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from catalog.formats.base import MAX_CONCURRENT_READS
from catalog.formats.buffered_reader import FIRST_CHUNK_BYTES
from catalog.formats.byte_source import ByteSource, FileSource
from catalog.formats.gguf import reader
from catalog.hub import client
from catalog.hub.http_source import HttpSource
from domain.errors import BadModelError, DownloadError
from domain.models.model import Source, WeightFile, Weights
from domain.units import MIB

MAX_HEADER_BYTES = 128 * MIB
COPY_BYTES = 4 * MIB


def write(weights: Weights, folder: Path, *, within_s: float) -> Path:
    """Returns the replica's first file, in ``folder``. Reads the weights' headers, here or on a server.

    Raises: BadModelError, DownloadError, also if it takes longer than ``within_s``."""
    deadline_s = time.monotonic() + within_s
    files = [file for file in weights.files if file.name.endswith(".gguf")]

    def copy(file: WeightFile) -> None:
        first_bytes = FIRST_CHUNK_BYTES if file is files[0] else reader.PART_CHUNK_BYTES
        with closing(_open(weights, file.name)) as source:
            _copy_header(source, folder / file.basename, deadline_s, first_bytes)

    try:
        with ThreadPoolExecutor(2 * MAX_CONCURRENT_READS) as pool:
            list(pool.map(copy, files))
    except OSError as error:
        raise DownloadError(f"no replica can be written in {folder}: {error.strerror}") from error
    return folder / weights.files[0].basename


def _open(weights: Weights, name: str) -> ByteSource:
    if weights.location is not None:
        return FileSource(Path(weights.location, name))
    if weights.source is Source.HUB and weights.revision:
        return client.open_file(client.Listing(weights.repo, weights.revision, weights.files), name)
    if weights.source is Source.URL:
        parts = urlsplit(weights.repo)
        path = str(PurePosixPath(parts.path).with_name(name))
        return HttpSource(urlunsplit(parts._replace(path=path)), name=name)
    raise DownloadError(f"the header of {weights.repo} {name} can't be read from {weights.source}")


def _copy_header(source: ByteSource, path: Path, deadline_s: float, first_bytes: int) -> None:
    with path.open("wb") as file:
        copy = _CopyingSource(source, file.fileno(), deadline_s)
        reader.read_header(copy, chunk_bytes=first_bytes)
        copy.fill_gaps()
        file.truncate(source.size_bytes)


class _CopyingSource:
    """A ByteSource that writes what is read to the same offset of another file: nothing is read twice."""

    def __init__(self, source: ByteSource, descriptor: int, deadline_s: float) -> None:
        self.name, self.size_bytes = source.name, source.size_bytes
        self.close: Callable[[], None] = source.close
        self._source, self._descriptor, self._deadline_s = source, descriptor, deadline_s
        self._copied: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        if time.monotonic() > self._deadline_s:
            raise DownloadError(f"{self.name}: reading its header takes too long")
        if offset + length > MAX_HEADER_BYTES:
            raise BadModelError(f"{self.name}: its header is longer than {MAX_HEADER_BYTES // MIB} MiB")
        data = self._source.read(offset, length)
        os.pwrite(self._descriptor, data, offset)
        self._copied.append((offset, offset + len(data)))
        return data

    def fill_gaps(self) -> None:
        """Copies what the reader skipped: the values of long arrays."""
        position = 0
        for begin, end in sorted(self._copied):
            while position < begin:
                position += len(self.read(position, min(COPY_BYTES, begin - position)))
            position = max(position, end)
