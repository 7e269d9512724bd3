"""GGUF headers, of a file here or on a server: every tensor and every key, none of the weights.

Source of the format: the GGUF specification (ggml ``docs/gguf.md``), versions 2 and 3.
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catalog.formats.buffered_reader import BufferedReader
from catalog.formats.byte_source import ByteSource, FileSource
from catalog.formats.gguf.tensor_index import TensorLocation, read_tensors
from domain.errors import BadModelError
from domain.model import MetadataValue, ModelShape

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS = 1 << 16
MAX_PARTS = 1 << 10
START_BYTES = 4 + 4 + 8 + 8  # magic, version, counts
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file. ``counts`` are its tensors and keys, as it claims them at its start;
    ``table_start`` is where the tensor table begins, ``table_bytes`` how long it is."""

    metadata: dict[str, MetadataValue]
    array_lengths: dict[str, int]
    tensors: tuple[TensorLocation, ...]
    file_bytes: int
    counts: tuple[int, int]
    table_start: int
    table_bytes: int


def read_file(path: Path) -> ModelShape:
    """The model that ``path`` belongs to; of a split model, any part will do.

    Raises: BadModelError for a file that is not GGUF, hostile, truncated or incomplete."""
    names = part_names(path.name)
    missing = [name for name in names if len(names) > 1 and not path.with_name(name).is_file()]
    if missing:
        raise BadModelError(
            f"{path.name} is one of {len(names)} parts, these are missing: {', '.join(missing[:3])}",
            hint=f"put the parts side by side in {path.parent}",
        )
    return read_model(path.name, lambda name: FileSource(path.with_name(name)))


def read_model(
    name: str, open_source: Callable[[str], ByteSource], *, known: list[Header] | None = None
) -> ModelShape:
    """A model from all its parts, which ``open_source`` opens by name.

    ``known`` collects headers of other quants of the same model: where the next file has its tensor
    table at the same place, its vocabulary is not read again. Raises: BadModelError."""
    headers = []
    names = part_names(name)
    for part in names:
        source = open_source(part)
        try:
            headers.append(read_header(source) if known is None else _like_one_of(known, source))
        finally:
            source.close()
    _check_parts(names, headers)
    first = headers[0]
    tensors = tuple(placed.tensor for header in headers for placed in header.tensors)
    if not tensors:
        raise BadModelError(f"{name} holds a header and no tensors")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise BadModelError(f"{name}: two of its parts hold the same tensor")
    return ModelShape(
        architecture=_architecture(name, first),
        tensors=tensors,
        file_bytes=sum(header.file_bytes for header in headers),
        metadata=first.metadata,
        array_lengths=first.array_lengths,
    )


def part_names(name: str) -> tuple[str, ...]:
    """``x-00002-of-00003.gguf`` -> all three names; any other name alone."""
    match = _PART.search(name)
    if match is None:
        return (name,)
    count = min(int(match[2]), MAX_PARTS)
    stem = name[: match.start()]
    return tuple(f"{stem}-{number:05d}-of-{match[2]}.gguf" for number in range(1, count + 1)) or (name,)


def read_header(source: ByteSource) -> Header:
    """The header of one file. Raises: BadModelError."""
    window = BufferedReader(source)
    counts = tensor_count, key_count = _start(window)
    metadata: dict[str, MetadataValue] = {}
    array_lengths: dict[str, int] = {}
    for _ in range(key_count):
        key = _name(window, "a key")
        if key in metadata or key in array_lengths:
            raise window.bad(f"the key {key!r} is there twice")
        value, length = window.value(window.number("I"), key)
        if value is not None:
            metadata[key] = value
        elif length is not None:
            array_lengths[key] = length
    table_start = window.position
    tensors = read_tensors(window, tensor_count, metadata.get("general.alignment", 32))
    table_bytes = window.position - table_start
    return Header(metadata, array_lengths, tensors, source.size_bytes, counts, table_start, table_bytes)


def _like_one_of(known: list[Header], source: ByteSource) -> Header:
    counts = _start(BufferedReader(source, chunk_bytes=START_BYTES))
    for other in list(known):
        if other.counts == counts and (header := _like(other, source)):
            return header
    header = read_header(source)
    known.append(header)
    return header


def _like(other: Header, source: ByteSource) -> Header | None:
    """The header of ``source``, of as many keys and tensors, if it has its table where ``other`` has
    it, else None. That it is no chance hit is sure: the same tensors, of the same dimensions, are
    found there."""
    window = BufferedReader(source)
    window.go_to(other.table_start, chunk_bytes=other.table_bytes)
    try:
        tensors = read_tensors(window, other.counts[0], other.metadata.get("general.alignment", 32))
    except BadModelError:
        return None
    if _outline(tensors) != _outline(other.tensors):
        return None
    metadata = {key: value for key, value in other.metadata.items() if key != "general.file_type"}
    return dataclasses.replace(other, metadata=metadata, tensors=tensors, file_bytes=source.size_bytes)


def _outline(tensors: tuple[TensorLocation, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(placed.tensor.name, placed.tensor.shape) for placed in tensors]


def _start(window: BufferedReader) -> tuple[int, int]:
    """How many tensors and keys there are, by the first bytes of the file."""
    _check_magic(window)
    tensor_count = window.count("tensors", each_bytes=8 + 4 + 8 + 4 + 8, most=1 << 17)
    return tensor_count, window.count("keys", each_bytes=8 + 4 + 1, most=MAX_KEYS)


def _check_magic(window: BufferedReader) -> None:
    if window.left_bytes < START_BYTES:
        raise window.bad(f"it has {window.left_bytes} bytes, a header alone takes {START_BYTES}")
    magic = window.take(4)
    if magic != MAGIC:
        raise window.bad(f"it starts with {magic!r}, not with {MAGIC!r}")
    version = window.number("I")
    if version and version & 0xFFFF == 0:
        raise window.bad("it is in big-endian order, for another kind of machine")
    if version not in VERSIONS:
        raise window.bad(f"its version is {version}, not 2 or 3")


def _name(window: BufferedReader, what: str) -> str:
    data = window.text(what)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise window.bad(f"{what} is no text: {data[:16]!r}") from error


def _check_parts(names: tuple[str, ...], headers: list[Header]) -> None:
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        count = header.metadata.get("split.count", 1)
        if count not in (0, 1) or len(names) > 1:
            found = (header.metadata.get("split.no"), count)
            if found != (number, len(names)):
                raise BadModelError(
                    f"{name} is part {number} of {len(names)} by name, {found[0]} of {found[1]} by header",
                    hint="a part of a split model keeps its name, -00001-of-00003.gguf and so on",
                )
    expected = headers[0].metadata.get("split.tensors.count")
    found_count = sum(len(header.tensors) for header in headers)
    if expected not in (None, found_count):
        raise BadModelError(f"{names[0]}: its parts hold {found_count} tensors instead of {expected}")


def _architecture(name: str, header: Header) -> str:
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise BadModelError(f"{name} does not say its architecture")
    return architecture
