"""JSON that others wrote, within bounds: 16 MiB of any text cost less than 100 MB and a second.

Entries of a safetensors header are decoded as what they are; nothing else in them is built. The values of
other files are counted before they are parsed.
"""

from typing import Any

import msgspec

from domain.errors import BadModelError
from domain.units import MIB

MAX_JSON_BYTES = 16 * MIB
MAX_JSON_VALUES = 1 << 18  # the index of Kimi K2 has 210,000


class TensorEntry(msgspec.Struct, gc=False):
    """Of a tensor in a safetensors header. The defaults are those of no tensor."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (-1, -1)


def parse_table(data: bytes, name: str) -> dict[str, TensorEntry]:
    """A safetensors header. Raises: BadModelError."""
    _check_count(data.count(b"{"), name)
    table: dict[str, TensorEntry] = _decode(data, name, dict[str, TensorEntry])
    return table


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """Raises: BadModelError."""
    _check_count(data.count(b",") + data.count(b"[") + data.count(b"{"), name)
    value = _decode(data, name, Any)
    if not isinstance(value, dict):
        raise BadModelError(f"{name} is not a JSON object")
    return value


def _check_count(values: int, name: str) -> None:
    if values > MAX_JSON_VALUES:
        raise BadModelError(f"{name} has more than {MAX_JSON_VALUES} values: {values}")


def _decode(data: bytes, name: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadModelError(f"{name} has an invalid entry: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadModelError(f"{name} is not JSON: {error}") from error
