"""The tensor table of a GGUF header: names, dimensions, types, and the place of each one in the file."""

from dataclasses import dataclass
from math import prod

from catalog.formats.buffered_reader import BufferedReader
from catalog.formats.header_limits import MAX_VALUES
from domain.errors import BadModelError
from domain.models.ggml import BY_ID, NEWEST_BUILD, REMOVED
from domain.models.model import MetadataValue, Tensor

MAX_NAME_CHARS = 64  # GGML_MAX_NAME
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS of ggml/include/ggml.h


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """A tensor and its offset in the data part of its file."""

    tensor: Tensor
    offset: int


def read_tensors(reader: BufferedReader, count: int, alignment: MetadataValue) -> tuple[TensorLocation, ...]:
    """The table that follows the keys, checked against the length of the file."""
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise reader.error(f"its alignment of {alignment!r} is not a power of two")
    tensors = tuple(_read_tensor(reader, alignment) for _ in range(count))
    _check_names(reader, tensors)
    if tensors:
        data_start = -(-reader.position // alignment) * alignment
        _check_offsets(reader, tensors, reader.position + reader.left_bytes, data_start)
    return tensors


def _read_tensor(reader: BufferedReader, alignment: int) -> TensorLocation:
    name = reader.read_text("a tensor's name").decode(errors="replace")
    dimensions = reader.read_number("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise reader.error(f"the tensor {name!r} has {dimensions} dimensions")
    shape = tuple(reader.read_number("Q") for _ in range(dimensions))
    kind = BY_ID.get(number := reader.read_number("I"))
    offset = reader.read_number("Q")
    if kind is None:
        raise _unknown_type(reader.name, name, number)
    if 0 in shape or prod(shape) > MAX_VALUES:
        raise reader.error(f"the tensor {name!r} has the dimensions {shape}")
    if offset % alignment:
        raise reader.error(f"the tensor {name!r} lies at {offset}, not a multiple of {alignment}")
    try:
        size_bytes = kind.row_bytes(shape[0]) * prod(shape[1:])
    except ValueError as error:
        raise reader.error(f"the tensor {name!r}: {error}") from error
    return TensorLocation(Tensor(name, kind.name, shape, size_bytes), offset)


def _unknown_type(file: str, tensor: str, number: int) -> BadModelError:
    """The file may be intact: its size can't be computed."""
    tensor = tensor[:MAX_NAME_CHARS]
    if number in REMOVED:
        return BadModelError(
            f"{file}: its tensor {tensor!r} has type {number} ({REMOVED[number]}), "
            "which llama.cpp no longer loads",
            hint="use a newer file of the model: Q4_0 and IQ4_NL are repacked when they are loaded",
        )
    return BadModelError(
        f"{file}: this program does not know type {number}, which its tensor {tensor!r} has",
        hint=f"llama.cpp {NEWEST_BUILD} lacks that type, too: it is newer, or of a fork; use another quant",
    )


def _check_names(reader: BufferedReader, tensors: tuple[TensorLocation, ...]) -> None:
    names: set[str] = set()
    for location in tensors:
        if location.tensor.name in names:
            raise reader.error(f"the tensor {location.tensor.name!r} appears twice")
        names.add(location.tensor.name)


def _check_offsets(
    reader: BufferedReader, tensors: tuple[TensorLocation, ...], file_bytes: int, data_start: int
) -> None:
    before: TensorLocation | None = None
    for location in sorted(tensors, key=lambda location: location.offset):
        if before is not None and before.offset + before.tensor.size_bytes > location.offset:
            raise reader.error(f"the tensors {before.tensor.name!r} and {location.tensor.name!r} overlap")
        before = location
    last = max(tensors, key=lambda location: location.offset + location.tensor.size_bytes)
    needed_bytes = data_start + last.offset + last.tensor.size_bytes
    if needed_bytes > file_bytes:
        raise reader.error(
            f"it is truncated: {file_bytes} bytes, its tensor {last.tensor.name!r} ends at {needed_bytes}"
        )
