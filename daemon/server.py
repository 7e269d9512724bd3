"""The API on the control socket, and again on a new one where the socket or its folder was removed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn

from daemon import instance_lock
from daemon.api.app import create_app
from daemon.api.connection import Connection
from daemon.app import App
from daemon.control_socket import ControlSocket, bind
from domain.errors import NodeError
from domain.events import EventKind

SHUTDOWN_TIMEOUT_S = 5
CHECK_EVERY_S = 1.0  # one stat(2)
FALLBACK = "node-daemon.sock"  # in the state folder

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Leaves signal handling to ``main``."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: App, first: ControlSocket) -> AsyncIterator[None]:
    """The API answers while the block runs; at its end open requests get SHUTDOWN_TIMEOUT_S to finish."""
    server = ControlServer(app, first)
    await server.begin(first)
    watching = asyncio.create_task(server.watch(), name="control-socket")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await server.end()


class ControlServer:
    """The socket in use, and a server for it. A socket that is replaced leaves a server that finishes the
    requests it has.

    The control socket of the settings is used wherever it can be, and meanwhile one in the state folder: a
    logout removes the user's runtime folder, and node-ctl finds the other by the daemon's lock.
    """

    def __init__(self, app: App, first: ControlSocket) -> None:
        self._app = app
        self._api = create_app(app)
        self._current = first
        self._servers: dict[asyncio.Task[None], Server] = {}

    async def begin(self, control_socket: ControlSocket) -> None:
        """Serves on ``control_socket``, whose path the lock then tells. Raises: NodeError."""
        server = Server(self._config())
        serving = asyncio.create_task(server.serve(sockets=[control_socket.listener]), name="api")
        self._servers[serving] = server
        while not server.started:
            await asyncio.sleep(0.01)
            if serving.done():
                serving.result()
                raise NodeError(f"the API on {control_socket.path} ended at its start")
        self._current = control_socket
        self._app.control.socket = control_socket.path
        with suppress(OSError):  # a full or read-only disk, or no lock in a test
            settings = self._app.settings
            await asyncio.to_thread(
                instance_lock.tell_socket, settings.state_dir, control_socket.path, settings.socket
            )

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await self.check()

    async def check(self) -> None:
        """Listens again where the socket is gone, and where the one of the settings can be had again."""
        wanted = self._app.settings.socket
        replacement = await asyncio.to_thread(self._replacement)
        if replacement is None:
            return
        old = next(task for task, server in self._servers.items() if not server.should_exit)
        gone = self._current
        await self.begin(replacement)
        self._servers[old].should_exit = True
        if gone.path != replacement.path:
            await asyncio.to_thread(gone.remove)
        if replacement.path == wanted:
            await self._app.events.append(EventKind.SOCKET_BACK, f"listens on {wanted} again")
        else:
            await self._app.events.append(
                EventKind.SOCKET_GONE,
                f"{wanted} is gone: listens on {replacement.path} until it can be had again",
            )

    async def end(self) -> None:
        for server in self._servers.values():
            server.should_exit = True
        _, late = await asyncio.wait(set(self._servers), timeout=SHUTDOWN_TIMEOUT_S)
        for task in late:
            self._servers[task].force_exit = True
        if late:
            await asyncio.wait(late)
        self._current.listener.close()
        await asyncio.to_thread(self._current.remove)

    def _replacement(self) -> ControlSocket | None:
        """A better socket than the one in use, bound. Blocks."""
        wanted = self._app.settings.socket
        for path in dict.fromkeys((wanted, self._app.settings.state_dir / FALLBACK)):
            if self._current.path == path and self._current.is_in_place():
                return None
            try:
                return bind(path, make_folder=False)
            except NodeError as error:
                log.debug("no socket: %s", error)
        return None

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._api,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
        )
