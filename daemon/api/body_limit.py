"""Bodies of requests have a limit: the daemon holds one in memory, and parses it on its event loop."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.units import MIB

MAX_BODY_BYTES = 4 * MIB  # a comparison on 64 machines has 1 MiB


class BodyLimit:
    """Refuses a larger body with 413, as soon as that much of it has come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        count_bytes = 0

        async def counted() -> Message:
            nonlocal count_bytes
            message = await receive()
            count_bytes += len(message.get("body", b""))
            if count_bytes > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES // MIB} MiB")
            return message

        await self._app(scope, counted, send)
