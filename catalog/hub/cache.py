"""A cache of what was read from the hub: headers by their files' digests, listings by repository. Bounded.

An entry is a file of compressed JSON that is replaced as a whole. One that can't be read, or that another
version wrote, counts as absent: the hub is asked again, and the entry replaced. The least recently used
entries are evicted first.
"""

import hashlib
import json
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalog.hub.client import Listing
from catalog.names import checked_path
from domain.errors import BadModelError
from domain.models.model import MetadataValue, ModelShape, Scalar, Tensor
from domain.serialization import from_json, to_json
from domain.units import MIB

log = logging.getLogger(__name__)
FORMAT = b"node-daemon seen 1\n"  # a new number for each change of what an entry holds
LIMIT_BYTES = 64 * MIB  # a header takes 5 to 50 KiB: room for some thousand quants
MAX_ENTRY_BYTES = 64 * MIB
SUFFIX = ".seen"
TEMPORARY = ".part"


class Cache:
    """Entries in ``folder``, which need not exist. Blocks; threads and processes may share it."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def shape(self, tags: Sequence[str]) -> ModelShape | None:
        """The model whose files have these tags, in this order."""
        entry = self._read(_shape_key(tags))
        try:
            return None if entry is None else _parse_shape(entry)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            log.warning("cached header is not usable: why=%r", error)
            return None

    def store_shape(self, tags: Sequence[str], shape: ModelShape) -> None:
        tensors = [[tensor.name, tensor.type, tensor.shape, tensor.size_bytes] for tensor in shape.tensors]
        self._write(
            _shape_key(tags),
            {
                "architecture": shape.architecture,
                "tensors": tensors,
                "file_bytes": shape.file_bytes,
                "metadata": dict(shape.metadata),
                "array_lengths": dict(shape.array_lengths),
            },
        )

    def listing(self, repo: str, revision: str | None) -> tuple[Listing, str] | None:
        """What the hub last said of a repository, and when (ISO 8601, UTC)."""
        entry = self._read(_listing_key(repo, revision))
        try:
            if entry is None:
                return None
            listing = from_json(Listing, entry["listing"])
            for file in listing.files:
                checked_path(file.name)
            return listing, str(entry["at"])
        except (KeyError, TypeError, ValueError, BadModelError) as error:
            log.warning("cached listing is not usable: repo=%s why=%r", repo, error)
            return None

    def store_listing(self, listing: Listing, revision: str | None) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(_listing_key(listing.repo, revision), {"listing": to_json(listing), "at": at})

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}{SUFFIX}"

    def _read(self, key: str) -> Any:
        path = self._path(key)
        try:
            entry = json.loads(_decompress(path.read_bytes()))
            os.utime(path)  # the time of its last use
        except FileNotFoundError:
            return None
        except (OSError, zlib.error, ValueError, RecursionError) as error:
            log.warning("cache entry is not usable: file=%s why=%s", path, error)
            return None
        return entry

    def _write(self, key: str, value: Mapping[str, Any]) -> None:
        """A full or read-only disk costs the next plan some time, and nothing else."""
        data = FORMAT + zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=TEMPORARY, delete=False) as file:
                file.write(data)
            Path(file.name).replace(self._path(key))
            self._evict()
        except OSError as error:
            log.warning("cache entry was not written: folder=%s why=%s", self._folder, error)

    def _evict(self) -> None:
        """Down to the limit. A killed writer's temporary file is evicted like any entry."""
        files = sorted(_own_files(self._folder))
        total_bytes = sum(size_bytes for _, size_bytes, _ in files)
        for _, size_bytes, path in files:
            if total_bytes <= self._limit_bytes:
                break
            Path(path).unlink(missing_ok=True)
            total_bytes -= size_bytes


def _own_files(folder: Path) -> Iterator[tuple[int, int, str]]:
    """The time of its last use, its size and its path, of each file of ours."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith((SUFFIX, TEMPORARY)):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # another process evicted it just now
                continue
            yield status.st_mtime_ns, status.st_size, entry.path


def _decompress(data: bytes) -> bytes:
    """Raises: ValueError, zlib.error."""
    if not data.startswith(FORMAT):
        raise ValueError("another version wrote it, or another program")
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(data[len(FORMAT) :], MAX_ENTRY_BYTES)
    if not decompressor.eof:
        raise ValueError(f"it is truncated, or holds more than {MAX_ENTRY_BYTES} bytes")
    return text


def _shape_key(tags: Sequence[str]) -> str:
    return "\n".join(("header", *tags))


def _listing_key(repo: str, revision: str | None) -> str:
    return f"listing\n{repo}\n{revision or ''}"


def _parse_shape(entry: Any) -> ModelShape:
    return ModelShape(
        architecture=str(entry["architecture"]),
        tensors=tuple(
            Tensor(str(name), str(kind), tuple(map(int, dims)), int(size_bytes))
            for name, kind, dims, size_bytes in entry["tensors"]
        ),
        file_bytes=int(entry["file_bytes"]),
        metadata={key: _parse_value(value) for key, value in entry["metadata"].items()},
        array_lengths={key: int(length) for key, length in entry["array_lengths"].items()},
    )


def _parse_value(value: Any) -> MetadataValue:
    if isinstance(value, list) and all(isinstance(item, Scalar) for item in value):
        return tuple(value)
    if not isinstance(value, Scalar):
        raise TypeError(f"{value!r} is not a header's value")
    return value
