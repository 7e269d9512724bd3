"""The tensor table of a GGUF header: names, dimensions, types, and where in the file each one lies."""

from dataclasses import dataclass
from math import prod

from catalog.formats.buffered_reader import BufferedReader
from domain.ggml import BY_ID
from domain.model import MetadataValue, Tensor

MAX_DIMENSIONS = 4
MAX_VALUES = 1 << 62


@dataclass(frozen=True, slots=True)
class TensorLocation:
    """A tensor and its offset in the data part of its file."""

    tensor: Tensor
    offset: int


def read_tensors(window: BufferedReader, count: int, alignment: MetadataValue) -> tuple[TensorLocation, ...]:
    """The table that follows the keys, checked against the length of the file."""
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise window.bad(f"its alignment of {alignment!r} is no power of two")
    tensors = tuple(_tensor(window, alignment) for _ in range(count))
    _check_names(window, tensors)
    if tensors:
        data_start = -(-window.position // alignment) * alignment
        _check_places(window, tensors, window.position + window.left_bytes, data_start)
    return tensors


def _tensor(window: BufferedReader, alignment: int) -> TensorLocation:
    name = window.text("a tensor's name").decode(errors="replace")
    dimensions = window.number("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise window.bad(f"the tensor {name!r} has {dimensions} dimensions")
    shape = tuple(window.number("Q") for _ in range(dimensions))
    kind = BY_ID.get(number := window.number("I"))
    offset = window.number("Q")
    if kind is None:
        raise window.bad(f"the tensor {name!r} has the unknown type {number}")
    if 0 in shape or prod(shape) > MAX_VALUES:
        raise window.bad(f"the tensor {name!r} has the dimensions {shape}")
    if offset % alignment:
        raise window.bad(f"the tensor {name!r} lies at {offset}, no multiple of {alignment}")
    try:
        size_bytes = kind.row_bytes(shape[0]) * prod(shape[1:])
    except ValueError as error:
        raise window.bad(f"the tensor {name!r}: {error}") from error
    return TensorLocation(Tensor(name, kind.name, shape, size_bytes), offset)


def _check_names(window: BufferedReader, tensors: tuple[TensorLocation, ...]) -> None:
    names: set[str] = set()
    for placed in tensors:
        if placed.tensor.name in names:
            raise window.bad(f"the tensor {placed.tensor.name!r} is there twice")
        names.add(placed.tensor.name)


def _check_places(
    window: BufferedReader, tensors: tuple[TensorLocation, ...], file_bytes: int, data_start: int
) -> None:
    before: TensorLocation | None = None
    for placed in sorted(tensors, key=lambda item: item.offset):
        if before is not None and before.offset + before.tensor.size_bytes > placed.offset:
            raise window.bad(f"the tensors {before.tensor.name!r} and {placed.tensor.name!r} overlap")
        before = placed
    last = max(tensors, key=lambda item: item.offset + item.tensor.size_bytes)
    needed_bytes = data_start + last.offset + last.tensor.size_bytes
    if needed_bytes > file_bytes:
        raise window.bad(
            f"it is truncated: {file_bytes} bytes, its tensor {last.tensor.name!r} ends at {needed_bytes}"
        )
