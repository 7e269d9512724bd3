"""What was read of models before: headers by their files' digests, listings by repository. Bounded.

An entry is a file of deflated JSON that is replaced as a whole. One that cannot be read, or that another
version wrote, counts as not there: it is read anew from the hub and written over. What was not used for
longest goes first.
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
from domain.model import MetadataValue, ModelShape, Scalar, Tensor
from domain.serialization import from_json, to_json
from domain.units import MIB

log = logging.getLogger(__name__)
FORMAT = b"node-daemon seen 1\n"  # to be counted up with every change of what stands in an entry
LIMIT_BYTES = 64 * MIB  # a header takes 5 to 50 KiB: some thousand quants
MAX_ENTRY_BYTES = 64 * MIB
SUFFIX = ".seen"
UNFINISHED = ".part"


class Cache:
    """Entries in ``folder``, which need not exist. Blocks; threads and processes may share it."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def shape(self, tags: Sequence[str]) -> ModelShape | None:
        """The model whose files have these tags, in this order."""
        found = self._read(_shape_key(tags))
        try:
            return None if found is None else _shape(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("cached header is not usable: why=%r", error)
            return None

    def keep_shape(self, tags: Sequence[str], shape: ModelShape) -> None:
        tensors = [[item.name, item.type, item.shape, item.size_bytes] for item in shape.tensors]
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
        found = self._read(_listing_key(repo, revision))
        try:
            if found is None:
                return None
            listing = from_json(Listing, found["listing"])
            for file in listing.files:
                checked_path(file.name)
            return listing, str(found["at"])
        except (KeyError, TypeError, ValueError, BadModelError) as error:
            log.warning("cached listing is not usable: repo=%s why=%r", repo, error)
            return None

    def keep_listing(self, listing: Listing, revision: str | None) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(_listing_key(listing.repo, revision), {"listing": to_json(listing), "at": at})

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}{SUFFIX}"

    def _read(self, key: str) -> Any:
        path = self._path(key)
        try:
            found = json.loads(_unpacked(path.read_bytes()))
            os.utime(path)  # used now
        except FileNotFoundError:
            return None
        except (OSError, zlib.error, ValueError, RecursionError) as error:
            log.warning("cache entry is not usable: file=%s why=%s", path, error)
            return None
        return found

    def _write(self, key: str, value: Mapping[str, Any]) -> None:
        """A disk that is full or read-only costs the next plan some time, and nothing else."""
        data = FORMAT + zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=UNFINISHED, delete=False) as file:
                file.write(data)
            Path(file.name).replace(self._path(key))
            self._shrink()
        except OSError as error:
            log.warning("cache entry is not kept: folder=%s why=%s", self._folder, error)

    def _shrink(self) -> None:
        """Down to the limit; what a killed writer left unfinished goes like any other file."""
        entries = sorted(_files(self._folder))
        left_bytes = sum(size_bytes for _, size_bytes, _ in entries)
        for _, size_bytes, path in entries:
            if left_bytes <= self._limit_bytes:
                break
            Path(path).unlink(missing_ok=True)
            left_bytes -= size_bytes


def _files(folder: Path) -> Iterator[tuple[int, int, str]]:
    """When it was used, its size and its path, of each of ours."""
    with os.scandir(folder) as found:
        for entry in found:
            if not entry.name.endswith((SUFFIX, UNFINISHED)):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # another process made room in this moment
                continue
            yield status.st_mtime_ns, status.st_size, entry.path


def _unpacked(data: bytes) -> bytes:
    """Raises: ValueError, zlib.error."""
    if not data.startswith(FORMAT):
        raise ValueError("another version wrote it, or something else")
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(data[len(FORMAT) :], MAX_ENTRY_BYTES)
    if not unpacking.eof:
        raise ValueError(f"it is cut off, or holds more than {MAX_ENTRY_BYTES} bytes")
    return text


def _shape_key(tags: Sequence[str]) -> str:
    return "\n".join(("header", *tags))


def _listing_key(repo: str, revision: str | None) -> str:
    return f"listing\n{repo}\n{revision or ''}"


def _shape(found: Any) -> ModelShape:
    return ModelShape(
        architecture=str(found["architecture"]),
        tensors=tuple(
            Tensor(str(name), str(kind), tuple(map(int, dims)), int(size_bytes))
            for name, kind, dims, size_bytes in found["tensors"]
        ),
        file_bytes=int(found["file_bytes"]),
        metadata={key: _metadata(value) for key, value in found["metadata"].items()},
        array_lengths={key: int(length) for key, length in found["array_lengths"].items()},
    )


def _metadata(value: Any) -> MetadataValue:
    found = tuple(value) if isinstance(value, list) else value
    if not all(isinstance(item, Scalar) for item in (found if isinstance(found, tuple) else (found,))):
        raise TypeError(f"{value!r} is no value of a header")
    return found
