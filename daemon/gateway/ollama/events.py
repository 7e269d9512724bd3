"""Server-sent events of an engine, from bytes that are cut anywhere. Pure."""

from typing import Any

import msgspec

from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.ollama.shape import checked

MAX_LINE_BYTES = 4 * 1024 * 1024  # the last event of an answer with probabilities has a tenth of it


class Events:
    """``feed`` gives the JSON of each ``data:`` line that is whole; comments and ``[DONE]`` are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, part: bytes) -> list[dict[str, Any]]:
        """Raises: GatewayError for what is no JSON object."""
        self._rest += part
        *lines, rest = self._rest.split(b"\n")
        if max(map(len, (*lines, rest))) > MAX_LINE_BYTES:
            raise GatewayError(Reason.ENGINE_FAILED, "the engine sent an event without an end")
        self._rest = rest
        return [event for line in lines if (event := _event(bytes(line))) is not None]


def _event(line: bytes) -> dict[str, Any] | None:
    for field in (b"data:", b"error:"):  # older builds of llama-server name an error so
        if line.startswith(field):
            text = line.removeprefix(field).strip()
            return None if text in (b"", b"[DONE]") else _parsed(text, is_error=field == b"error:")
    return None


def _parsed(text: bytes, *, is_error: bool) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise GatewayError(
            Reason.ENGINE_FAILED, f"the engine sent an event that is no JSON: {error}"
        ) from error
    event = checked(event)
    return {"error": event} if is_error and "error" not in event else event
