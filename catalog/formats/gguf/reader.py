"""GGUF headers of a local or remote file: every tensor and every key, none of the weights.

Source of the format: the GGUF specification (ggml ``docs/gguf.md``), versions 2 and 3.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from catalog.formats.buffered_reader import FIRST_CHUNK_BYTES, BufferedReader
from catalog.formats.byte_source import ByteSource, FileSource
from catalog.formats.gguf.tensor_index import TensorLocation, read_tensors
from catalog.formats.header_limits import check_shape
from domain.errors import BadModelError
from domain.models.classification import kind_of
from domain.models.kinds import Kind
from domain.models.model import MetadataValue, ModelShape

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS, MAX_TENSORS = 1 << 16, 1 << 17
MAX_PARTS = 1 << 10
START_BYTES = 4 + 4 + 8 + 8  # magic, version, counts
# Of a part after the first, which has few keys: its table is that of some hundred tensors at most.
PART_CHUNK_BYTES = 64 * 1024
MAX_COMPARED = 2  # headers that another one is compared with, a range each
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file. ``counts`` are the numbers of tensors and keys that it starts with; the tensor
    table begins at ``table_start`` and is ``table_bytes`` long."""

    metadata: dict[str, MetadataValue]
    array_lengths: dict[str, int]
    tensors: tuple[TensorLocation, ...]
    file_bytes: int
    counts: tuple[int, int]
    table_start: int
    table_bytes: int


def read_file(path: Path) -> ModelShape:
    """The model that ``path`` is a part of. Raises: BadModelError for a file that is not GGUF, hostile,
    truncated or incomplete."""
    names = part_names(path.name)
    missing = [name for name in names if len(names) > 1 and not path.with_name(name).is_file()]
    if missing:
        raise BadModelError(
            f"{path.name} is one of {len(names)} parts, of which {', '.join(missing[:3])} are missing",
            hint=f"put all parts into {path.parent}",
        )
    return read_model(path.name, lambda name: FileSource(path.with_name(name)))


def read_model(
    name: str,
    open_source: Callable[[str], ByteSource],
    *,
    similar: list[Header] | None = None,
    pool: Executor | None = None,
) -> ModelShape:
    """A model from all its parts, which ``open_source`` opens by name; those after the first in ``pool``.

    ``similar`` collects the first headers of quants of one model: if a file has its tensor table at the same
    place as one of them, its vocabulary is not read again. Raises: BadModelError."""
    names = part_names(name)

    def read_part(part: str) -> Header:
        with closing(open_source(part)) as source:
            return read_header(source, chunk_bytes=PART_CHUNK_BYTES)

    with closing(open_source(names[0])) as source:
        first = read_header(source) if similar is None else _read_similar(source, similar)
    headers = [first, *(pool.map if pool else map)(read_part, names[1:])]
    _check_parts(names, headers)
    tensors = tuple(location.tensor for header in headers for location in header.tensors)
    if not tensors:
        raise BadModelError(f"{name} has no tensors")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise BadModelError(f"{name}: two of its parts have the same tensor")
    shape = ModelShape(
        architecture=_architecture_of(first),
        tensors=tensors,
        file_bytes=sum(header.file_bytes for header in headers),
        metadata=first.metadata,
        array_lengths=first.array_lengths,
    )
    if not shape.architecture and kind_of(shape) in (Kind.MODEL, Kind.OTHER):
        raise BadModelError(f"{name} has no general.architecture")
    check_shape(name, shape)
    return shape


def part_names(name: str) -> tuple[str, ...]:
    """``x-00002-of-00003.gguf`` -> all three names; any other name alone."""
    return tuple(each_part(name)) or (name,)


def each_part(name: str) -> Iterator[str]:
    """As ``part_names``, one by one: what a listing claims may be far more parts than it has."""
    match = _PART.search(name)
    if match is None:
        yield name
        return
    stem = name[: match.start()]
    for number in range(1, min(int(match[2]), MAX_PARTS) + 1):
        yield f"{stem}-{number:05d}-of-{match[2]}.gguf"


def read_header(source: ByteSource, *, chunk_bytes: int = FIRST_CHUNK_BYTES) -> Header:
    """The header of one file, ``chunk_bytes`` at first. Raises: BadModelError."""
    reader = BufferedReader(source, chunk_bytes=chunk_bytes)
    counts = tensor_count, key_count = _read_counts(reader)
    metadata: dict[str, MetadataValue] = {}
    array_lengths: dict[str, int] = {}
    for _ in range(key_count):
        key = _read_key(reader)
        if key in metadata or key in array_lengths:
            raise reader.error(f"the key {key!r} appears twice")
        value, length = reader.read_value(reader.read_number("I"), key)
        if value is not None:
            metadata[key] = value
        elif length is not None:
            array_lengths[key] = length
    table_start = reader.position
    tensors = read_tensors(reader, tensor_count, metadata.get("general.alignment", 32))
    table_bytes = reader.position - table_start
    return Header(metadata, array_lengths, tensors, source.size_bytes, counts, table_start, table_bytes)


def _read_similar(source: ByteSource, similar: list[Header]) -> Header:
    alike: list[Header] = []
    if similar:
        counts = _read_counts(BufferedReader(source, chunk_bytes=START_BYTES))
        alike = [other for other in similar if other.counts == counts]
    for other in alike[:MAX_COMPARED]:
        if header := _read_table_at(other, source):
            return header
    header = read_header(source)
    similar.append(header)
    return header


def _read_table_at(other: Header, source: ByteSource) -> Header | None:
    """The header of ``source``, which has as many keys and tensors as ``other``, if its table is at the same
    place, else None. A coincidence is ruled out: the table has the same tensors of the same dimensions."""
    reader = BufferedReader(source)
    reader.seek(other.table_start, chunk_bytes=other.table_bytes)
    try:
        tensors = read_tensors(reader, other.counts[0], other.metadata.get("general.alignment", 32))
    except BadModelError:
        return None
    if _names_and_shapes(tensors) != _names_and_shapes(other.tensors):
        return None
    metadata = {key: value for key, value in other.metadata.items() if key != "general.file_type"}
    return dataclasses.replace(other, metadata=metadata, tensors=tensors, file_bytes=source.size_bytes)


def _names_and_shapes(tensors: tuple[TensorLocation, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(location.tensor.name, location.tensor.shape) for location in tensors]


def _read_counts(reader: BufferedReader) -> tuple[int, int]:
    """The numbers of tensors and keys, from the first bytes of the file."""
    _check_magic(reader)
    tensor_count = reader.read_count("tensors", item_bytes=8 + 4 + 8 + 4 + 8, maximum=MAX_TENSORS)
    return tensor_count, reader.read_count("keys", item_bytes=8 + 4 + 1, maximum=MAX_KEYS)


def _check_magic(reader: BufferedReader) -> None:
    if reader.left_bytes < START_BYTES:
        raise reader.error(f"it has {reader.left_bytes} bytes, a header has at least {START_BYTES}")
    magic = reader.read(4)
    if magic != MAGIC:
        raise reader.error(f"it starts with {str(magic)[1:]}, not with {MAGIC.decode()!r}")
    version = reader.read_number("I")
    if version and version & 0xFFFF == 0:
        raise reader.error("it is big-endian, for another kind of machine")
    if version not in VERSIONS:
        raise reader.error(f"its version is {version}, not 2 or 3")


def _read_key(reader: BufferedReader) -> str:
    data = reader.read_text("a key")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise reader.error(f"a key is not UTF-8: {data[:16]!r}") from error


def _check_parts(names: tuple[str, ...], headers: list[Header]) -> None:
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        count = header.metadata.get("split.count", 1)
        if count not in (0, 1) or len(names) > 1:
            split_number = header.metadata.get("split.no")
            if (split_number, count) != (number, len(names)):
                raise BadModelError(
                    f"{name} is part {number} of {len(names)} by name, {split_number} of {count} by header",
                    hint="a part of a split model keeps its name, -00001-of-00003.gguf and so on",
                )
    expected = headers[0].metadata.get("split.tensors.count")
    actual = sum(len(header.tensors) for header in headers)
    if expected not in (None, actual):
        raise BadModelError(f"{names[0]}: its parts have {actual} tensors instead of {expected}")


def _architecture_of(header: Header) -> str:
    """Empty where there is none, as in an importance matrix."""
    architecture = header.metadata.get("general.architecture")
    return architecture if isinstance(architecture, str) else ""
