"""What a request may be: the daemon holds it in memory, and parses it on its event loop."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.api import errors
from daemon.api.connection import HINT, refusal_of
from daemon.api.responses import PrintableJSON
from domain.units import MIB

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_HEADERS_BYTES = 16 * 1024
MAX_BODY_BYTES = 4 * MIB  # a comparison on 64 machines has 1 MiB
MAX_BODIES_BYTES = 8 * MAX_BODY_BYTES  # of all requests together


class RequestLimits:
    """Refuses what is longer: a target with 414, headers with 431, a body with 413 as soon as that much of it
    has come; and any request with 503 where there are too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (refusal := refusal_of(scope)) is not None:
            content = errors.body(refusal.code, str(refusal), refusal.hint)
            close = {"Connection": "close", "Retry-After": "5"}
            await PrintableJSON(content, 503, headers=close)(scope, receive, send)
        elif (excess := _excess(scope)) is not None:
            status, message = excess
            await PrintableJSON(errors.body("bad_usage", message, HINT), status)(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        count_bytes = 0

        async def counted() -> Message:
            nonlocal count_bytes
            message = await receive()
            part_bytes = len(message.get("body", b""))
            count_bytes += part_bytes
            self._bodies_bytes += part_bytes
            if count_bytes > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES // MIB} MiB")
            if self._bodies_bytes > MAX_BODIES_BYTES:
                most = f"{MAX_BODIES_BYTES // MIB} MiB"
                raise HTTPException(503, f"the bodies of all requests have more than {most}; try again")
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._bodies_bytes -= count_bytes


def _excess(scope: Scope) -> tuple[int, str] | None:
    target_bytes = len(scope["raw_path"]) + len(scope["query_string"])
    headers_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
    if target_bytes > MAX_TARGET_BYTES:
        return 414, f"the path and the query have {target_bytes} bytes, more than {MAX_TARGET_BYTES}"
    if len(scope["headers"]) > MAX_HEADERS:
        return 431, f"the request has {len(scope['headers'])} headers, more than {MAX_HEADERS}"
    if headers_bytes > MAX_HEADERS_BYTES:
        return 431, f"the headers have {headers_bytes} bytes, more than {MAX_HEADERS_BYTES}"
    return None
