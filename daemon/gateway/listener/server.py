"""The gateway's address: bound, served, changed while it runs, tried again while something else has it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from uvicorn.server import ServerState

from config.listen import Address
from daemon.access.lan import wanted_address
from daemon.app import App
from daemon.gateway.gateway import Gateway, build_gateway
from daemon.gateway.listener.application import Application
from daemon.gateway.listener.connection import IDLE_S, GatewayConnection
from daemon.gateway.listener.proof import is_closed_to_strangers
from domain.events import EventKind

TRY_AGAIN_S = 10.0
SHUTDOWN_TIMEOUT_S = 5.0
BACKLOG = 128

log = logging.getLogger(__name__)


@asynccontextmanager
async def listening(app: App, gateway: Gateway | None = None) -> AsyncIterator[None]:
    """The gateway answers while the block runs, as soon as its address can be had; without one, never."""
    if app.settings.listen_address is None:
        yield
        return
    server = Server(app, gateway or build_gateway(app))
    await server.begin()
    watching = asyncio.create_task(server.watch(), name="gateway")
    watching.add_done_callback(_report)
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await server.end()


def _report(watching: "asyncio.Task[None]") -> None:
    """It ends with the daemon alone; by a bug, the gateway stays where it is."""
    if not watching.cancelled() and (bug := watching.exception()) is not None:
        log.error("gateway is no longer watched", exc_info=bug)


class Server:
    """uvicorn's protocol without its server, whose timer wakes ten times a second."""

    def __init__(self, app: App, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._state = ServerState()
        self._config = uvicorn.Config(
            Application(gateway),
            http=GatewayConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=int(IDLE_S),
        )
        self._config.load()
        self._served: Address | None = None  # as it is wanted: port 0 is any
        self._server: asyncio.Server | None = None

    async def begin(self) -> bool:
        """Whether it listens where it should, now; else ``app.gateway`` says why not."""
        wanted = wanted_address(self._app)
        if wanted is None or (self._server is not None and self._served == wanted):
            return True
        problem = await self._move(wanted)
        if problem is not None and problem != self._app.gateway.problem:
            log.warning("gateway does not listen: %s", problem)
        self._app.gateway.problem = problem
        self._app.gateway.changed.notify_all()
        return problem is None

    async def watch(self) -> None:
        """Until cancelled. The first of several failures is an event, and so is their end."""
        told = False
        while True:
            tried = wanted_address(self._app)
            if (listens := await self.begin()) == told:
                told = not listens
                await self._tell(listens=listens)
            if tried != wanted_address(self._app):
                continue  # it was changed meanwhile
            with suppress(TimeoutError):
                async with asyncio.timeout(None if listens else TRY_AGAIN_S):
                    await self._app.access.changed.wait()

    async def end(self) -> None:
        """Open answers get SHUTDOWN_TIMEOUT_S to finish."""
        self._close()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=SHUTDOWN_TIMEOUT_S)
            self._gateway.stopping.set()
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=SHUTDOWN_TIMEOUT_S)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await self._gateway.headers.close()
        await self._gateway.engines.close()

    async def _tell(self, *, listens: bool) -> None:
        state = self._app.gateway
        if listens:
            await self._app.events.append(EventKind.GATEWAY_UP, f"listens on {state.url} now")
        else:
            again = f"it is tried again every {TRY_AGAIN_S:g} s"
            await self._app.events.append(EventKind.GATEWAY_DOWN, f"{state.problem}; {again}")

    async def _move(self, wanted: Address) -> str | None:
        """Listens on ``wanted`` instead of what it had, whose answers go on. Why it can't, if so."""
        if not wanted.is_loopback and not self._app.access.keys:
            return f"{wanted} can be reached from the network, and there is no key: node-ctl keys add NAME"
        before = self._app.gateway.bound
        self._close()  # the same port of another address is not to be had before
        port = wanted.port or (before.port if before else 0)
        try:
            listener = await asyncio.to_thread(_bind, Address(wanted.host, port))
        except OSError as error:
            return f"{wanted} can't be used: {error.strerror or error}"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
        bound = Address(wanted.host, listener.getsockname()[1])
        if not wanted.is_loopback and not await is_closed_to_strangers(bound):
            self._close()
            return f"{wanted} answered a request without a key, and was closed again"
        self._served, self._app.gateway.bound = wanted, bound
        self._end_idle_elsewhere(bound)
        log.info("gateway listens: %s", self._app.gateway.url)
        return None

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = self._served = self._app.gateway.bound = None

    def _end_idle_elsewhere(self, bound: Address) -> None:
        """Connections to addresses that are not listened on any more: at once, or with the answer that they
        wait for. A client that keeps one could go on asking."""
        for connection in tuple(self._state.connections):
            if not isinstance(connection, GatewayConnection) or connection.server is None:
                continue
            if not bound.is_everywhere and connection.server[0] != bound.host:
                connection.shutdown()

    def _connection(self) -> GatewayConnection:
        return GatewayConnection(self._config, self._state, {})


def _bind(address: Address) -> socket.socket:
    """Blocks. Raises: OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    # With the protocol, by which asyncio knows where to set TCP_NODELAY: without it, answers wait 40 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a daemon before
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)  # here, where a port that somebody else took meanwhile is an OSError
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
