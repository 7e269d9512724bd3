"""Plain ASGI from a request to its dialect and back: no framework between an engine's bytes and a client."""

import asyncio
import logging

from starlette.types import Receive, Scope, Send

from daemon.gateway.dialects import registry
from daemon.gateway.dialects.dialect import Handler
from daemon.gateway.errors import GatewayError, Reason
from daemon.gateway.gateway import Gateway
from daemon.gateway.listener.admission import admit
from daemon.gateway.listener.exchange import Exchange
from domain.errors import NodeError

log = logging.getLogger(__name__)

MAX_HEADERS = 100


class Application:
    """What uvicorn calls for each request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._gateway, scope, receive, send)
        exchange.dialect = registry.dialect_of(exchange.path, exchange.headers)
        try:
            _check_headers(exchange)
            exchange.key = await admit(
                self._gateway.app, exchange.client, exchange.headers, scope["http_version"]
            )
            found = registry.find_route(exchange.method, exchange.path, exchange.headers)
            exchange.dialect, exchange.rest = found.dialect, found.rest
            await _while_wanted(exchange, found.route.handle)
        except GatewayError as error:
            await exchange.fail(error)
        except asyncio.CancelledError:
            if not self._gateway.stopping.is_set():
                raise
            await exchange.fail(GatewayError(Reason.UNAVAILABLE, "node-daemon is stopping", retry_after_s=30))
        except NodeError as error:
            await exchange.fail(GatewayError(Reason.FAILED, f"{error}; {error.hint}".rstrip("; ")))
        except Exception as bug:  # its client must get an answer it can read
            log.exception("gateway broke: path=%s", exchange.path[:200])
            await exchange.fail(GatewayError(Reason.FAILED, f"{type(bug).__name__}: see the daemon's log"))
        finally:
            exchange.close()


def _check_headers(exchange: Exchange) -> None:
    if exchange.header_count > MAX_HEADERS:
        message = f"the request has {exchange.header_count} headers, more than {MAX_HEADERS}"
        raise GatewayError(Reason.INVALID, message, status=431)


async def _while_wanted(exchange: Exchange, handle: Handler) -> None:
    """Handles the request, and gives up once its client leaves: an engine must not work for nobody."""
    if exchange.method != "POST":
        await handle(exchange)
        return
    await exchange.body()
    working = asyncio.current_task()
    gone = False

    def leave(task: asyncio.Task[None]) -> None:
        nonlocal gone
        if not task.cancelled() and not exchange.is_done and working is not None:
            gone = True
            working.cancel()

    watching = asyncio.create_task(exchange.until_gone())
    watching.add_done_callback(leave)
    try:
        await handle(exchange)
    except asyncio.CancelledError:
        if not gone or working is None or working.uncancel() > 0:
            raise
    finally:
        watching.remove_done_callback(leave)
        watching.cancel()
