"""What a dialect is: the paths that it answers, and how it writes errors."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.gateway.errors import GatewayError

if TYPE_CHECKING:
    from daemon.gateway.listener.exchange import Exchange

Handler = Callable[["Exchange"], Awaitable[None]]
Headers = Mapping[bytes, bytes]


def _always(headers: Headers) -> bool:
    del headers
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` may end in ``/*``: the rest of the path is ``exchange.rest``. ``when`` decides by the headers
    between dialects with the same path; the first route that matches answers."""

    method: str
    path: str
    handle: Handler
    when: Callable[[Headers], bool] = _always


@dataclass(frozen=True, slots=True)
class Dialect:
    """``error`` is the JSON of an answer that is refused, ``stream_error`` the bytes that end a stream that
    has begun, ``keep_alive`` what a silent stream sends; empty for clients that would not read it."""

    name: str
    routes: tuple[Route, ...]
    error: Callable[[GatewayError], Mapping[str, Any]]
    stream_error: Callable[[GatewayError], bytes]
    keep_alive: bytes
