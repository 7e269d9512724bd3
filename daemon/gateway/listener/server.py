"""The gateway's address: bound, served, and tried again while something else has it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from uvicorn.server import ServerState

from config.listen import Address
from daemon.app import App
from daemon.gateway.gateway import Gateway, build_gateway
from daemon.gateway.listener.application import Application
from daemon.gateway.listener.connection import IDLE_S, GatewayConnection

TRY_AGAIN_S = 10.0
SHUTDOWN_TIMEOUT_S = 5.0
BACKLOG = 128

log = logging.getLogger(__name__)


@asynccontextmanager
async def listening(app: App, gateway: Gateway | None = None) -> AsyncIterator[None]:
    """The gateway answers while the block runs, as soon as its address can be had; without one, never."""
    address = app.settings.listen_address
    if address is None:
        yield
        return
    server = Server(app, gateway or build_gateway(app), address)
    if not await server.begin():
        log.warning("gateway does not listen: %s", app.gateway.problem)
    trying = asyncio.create_task(server.try_again(), name="gateway")
    try:
        yield
    finally:
        trying.cancel()
        await asyncio.wait({trying})
        await server.end()


class Server:
    """uvicorn's protocol without its server, whose timer wakes ten times a second."""

    def __init__(self, app: App, gateway: Gateway, address: Address) -> None:
        self._app = app
        self._gateway = gateway
        self._address = address
        self._state = ServerState()
        self._config = uvicorn.Config(
            Application(gateway, loopback_only=address.is_loopback),
            http=GatewayConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=int(IDLE_S),
        )
        self._server: asyncio.Server | None = None

    async def begin(self) -> bool:
        """Whether it listens now; else ``app.gateway`` says why not."""
        if self._server is not None:
            return True
        if not self._address.is_loopback:
            self._app.gateway.problem = (
                f"{self._address} can be reached from the network, and there is no key"
            )
            return False
        try:
            listener = await asyncio.to_thread(_bind, self._address)
        except OSError as error:
            self._app.gateway.problem = f"{self._address} can't be used: {error.strerror or error}"
            return False
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)
        self._app.gateway.problem = None
        self._app.gateway.address = str(Address(self._address.host, listener.getsockname()[1]))
        log.info("gateway listens: http://%s", self._app.gateway.address)
        return True

    async def try_again(self) -> None:
        """Until it listens. The first failure is an event, and so is its end."""
        if self._server is not None:
            return
        problem = self._app.gateway.problem
        await self._app.events.append("gateway_down", f"{problem}; it is tried again every {TRY_AGAIN_S:g} s")
        while not await self.begin():  # noqa: ASYNC110 - a port that is freed tells nobody
            await asyncio.sleep(TRY_AGAIN_S)
        await self._app.events.append("gateway_up", f"listens on http://{self._app.gateway.address} now")

    async def end(self) -> None:
        """Open answers get SHUTDOWN_TIMEOUT_S to finish."""
        if self._server is not None:
            self._server.close()
        self._app.gateway.address = None
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=SHUTDOWN_TIMEOUT_S)
            for task in late:
                task.cancel()
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await self._gateway.headers.close()
        await self._gateway.engines.close()

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
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
