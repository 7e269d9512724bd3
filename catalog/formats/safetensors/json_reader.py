"""JSON that others wrote, within bounds: 16 MiB of any text cost less than 100 MB and a second.

Entries of a safetensors header are decoded as what they are; nothing else in them is built. The values of
other files are counted before they are parsed.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from domain.errors import BadModelError
from domain.units import MIB

MAX_JSON_BYTES = 16 * MIB
METADATA = "__metadata__"  # a key of a safetensors header that is no tensor
MAX_JSON_VALUES = 1 << 18  # the index of Kimi K2 has 210,000
T = TypeVar("T")


class TensorEntry(msgspec.Struct, gc=False):
    """Of a tensor in a safetensors header. The defaults are those of no tensor."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (-1, -1)


_RAW_TABLE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(TensorEntry)
_ANY = msgspec.json.Decoder(Any)


def parse_table(data: bytes, name: str) -> Iterator[tuple[str, TensorEntry]]:
    """The tensors of a safetensors header, decoded one by one: together they would take five times the memory
    of the text. Raises: BadModelError."""
    _check_count(data.count(b"{"), name)
    entries: dict[str, msgspec.Raw] = _decode(data, name, _RAW_TABLE)
    for tensor, entry in entries.items():
        if tensor != METADATA:
            yield tensor, _decode(entry, name, _ENTRY)


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """Raises: BadModelError."""
    value = _parse(data, name)
    if not isinstance(value, dict):
        raise BadModelError(f"{name} is not a JSON object")
    return value


def parse_list(data: bytes, name: str) -> list[Any]:
    """Raises: BadModelError."""
    value = _parse(data, name)
    if not isinstance(value, list):
        raise BadModelError(f"{name} is not a JSON list")
    return value


def _parse(data: bytes, name: str) -> Any:
    _check_count(data.count(b",") + data.count(b"[") + data.count(b"{"), name)
    return _decode(data, name, _ANY)


def _check_count(values: int, name: str) -> None:
    if values > MAX_JSON_VALUES:
        raise BadModelError(f"{name} has more than {MAX_JSON_VALUES} values: {values}")


def _decode(data: bytes | msgspec.Raw, name: str, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadModelError(f"{name} has an invalid entry: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadModelError(f"{name} is not JSON: {error}") from error
