"""What a download's process and its parent write to each other: JSON, one object a line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.download.throttle import WindowClosedError
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import BadModelError, DiskFullError, DownloadError, NodeError
from domain.models.model import Weights
from domain.serialization import from_json, to_json
from domain.units import MIB

GRACE_S = 2.5  # between the end of its input and SIGKILL
LINE_BYTES = MIB  # the last line names every file: 5000 files of 200 characters


class MessageError(ValueError):
    """A line that no download process writes."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to fetch, and on what terms. Goes over standard input: arguments are visible to every user, and a
    URL may hold a password."""

    weights: Weights
    models_dir: str
    policy: DownloadPolicy
    places: tuple[str, ...] = ()

    @classmethod
    def of(cls, weights: Weights, models_dir: Path, policy: DownloadPolicy, places: Sequence[Path]) -> "Task":
        return cls(weights, str(models_dir), policy, tuple(map(str, places)))


def encode(message: Task | DownloadProgress | NodeError | WindowClosedError) -> bytes:
    if isinstance(message, WindowClosedError):
        return _line({"window_closed": True})
    return _line({"error": _error_json(message)} if isinstance(message, NodeError) else to_json(message))


def decode_task(line: bytes) -> Task:
    return from_json(Task, json.loads(line))


def decode(line: bytes) -> DownloadProgress:
    """Raises: the NodeError or WindowClosedError that the process reports, MessageError."""
    try:
        message = json.loads(line)
        if "error" in message:
            reported: Exception = _error(message["error"])
        elif "window_closed" in message:
            reported = WindowClosedError()
        else:
            return from_json(DownloadProgress, message)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MessageError(f"it wrote {line[:80]!r}") from error
    raise reported


def _line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _error_json(error: NodeError) -> dict[str, Any]:
    message = {"code": error.code, "message": str(error), "hint": error.hint}
    return {**message, **_disk_json(error)} if isinstance(error, DiskFullError) else message


def _disk_json(error: DiskFullError) -> dict[str, Any]:
    return {
        "path": error.path,
        "needs_bytes": error.needs_bytes,
        "free_bytes": error.free_bytes,
        "reserve_bytes": error.reserve_bytes,
    }


def _error(data: dict[str, Any]) -> NodeError:
    if data["code"] == DiskFullError.code:
        return DiskFullError(
            data["path"],
            needs_bytes=data["needs_bytes"],
            free_bytes=data["free_bytes"],
            reserve_bytes=data["reserve_bytes"],
        )
    kind = BadModelError if data["code"] == BadModelError.code else DownloadError
    return kind(data["message"], hint=data["hint"])
