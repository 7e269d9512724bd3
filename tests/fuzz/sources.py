"""Inputs as what they stand for: files in memory, as the readers of headers take them, and JSON objects."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """``data`` is the beginning of a file of ``size_bytes``; zeros follow."""

    name: str
    data: bytes
    size_bytes: int

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size_bytes)
        part = self.data[offset:end]
        return part + bytes(max(0, end - offset - len(part)))

    def close(self) -> None:
        """There is nothing to close."""


def json_object(data: bytes) -> dict[str, Any] | None:
    """``None`` for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
