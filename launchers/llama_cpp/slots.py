"""The slots of a running llama-server: saved to a file, restored from one (``POST /slots/N?action=``).

``file`` is a bare name in the folder of ``--slot-save-path``.
"""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from domain.errors import EngineError


@dataclass(frozen=True, slots=True)
class Moved:
    tokens: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SlotState:
    """``task`` is the number of its last request, which increases."""

    id: int
    task: int


async def save(http: httpx.AsyncClient, slot: int, file: str) -> Moved:
    """Raises: EngineError, also for a build or a model that can't."""
    told = await _act(http, slot, "save", file)
    return Moved(_count(told, "n_saved"), _count(told, "n_written"))


async def restore(http: httpx.AsyncClient, slot: int, file: str) -> Moved:
    """What the slot had is lost. Raises: EngineError; the slot is empty then."""
    told = await _act(http, slot, "restore", file)
    return Moved(_count(told, "n_restored"), _count(told, "n_read"))


async def last_tasks(http: httpx.AsyncClient) -> tuple[SlotState, ...]:
    """Of slots that have had a request. Raises: EngineError."""
    told = await _answer(http, "GET", "/slots", None)
    rows = told if isinstance(told, list) else ()
    return tuple(
        SlotState(_count(row, "id"), _count(row, "id_task"))
        for row in rows
        if isinstance(row, dict) and "id_task" in row
    )


async def _act(http: httpx.AsyncClient, slot: int, action: str, file: str) -> Any:
    return await _answer(http, "POST", f"/slots/{slot}?action={action}", {"filename": file})


async def _answer(http: httpx.AsyncClient, method: str, path: str, body: Any) -> Any:
    try:
        response = await http.request(method, path, json=body)
        told = json.loads(response.content)
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        raise EngineError(f"{path}: {error or type(error).__name__}", cause="no_answer") from error
    if response.status_code != httpx.codes.OK:
        inner = told.get("error") if isinstance(told, dict) else None
        message = inner.get("message") if isinstance(inner, dict) else None
        lacks = response.status_code == httpx.codes.NOT_IMPLEMENTED
        cause = "not_supported" if lacks else "refused"
        raise EngineError(f"{path}: {message or response.status_code}", cause=cause)
    return told


def _count(told: Any, key: str) -> int:
    """Raises: EngineError."""
    value = told.get(key) if isinstance(told, dict) else None
    if not isinstance(value, int):
        raise EngineError(f"the engine does not say {key} of a slot", cause="no_answer")
    return value
