"""The control socket: a Unix socket of its owner and group, with the API behind it."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn

from daemon.api.app import create_app
from daemon.app import App
from domain.errors import BusyError, ConfigError, NodeError

MODE = 0o660
MAX_PATH_BYTES = 107  # unix(7): sun_path has 108 bytes, the last one is 0
SHUTDOWN_TIMEOUT_S = 5


class Server(uvicorn.Server):
    """Leaves signal handling to ``main``."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: App) -> AsyncIterator[None]:
    """The API answers while the block runs; at its end open requests get SHUTDOWN_TIMEOUT_S to finish."""
    path = app.settings.socket
    listener = await asyncio.to_thread(bind, path)
    config = uvicorn.Config(
        create_app(app),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    try:
        while not server.started:
            await asyncio.sleep(0.01)
            if serving.done():
                serving.result()
                raise NodeError(f"the API on {path} stopped while it was starting")
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
        listener.close()
        await asyncio.to_thread(_remove, path)


def bind(path: Path) -> socket.socket:
    """A listening socket at ``path``, for its owner and group alone. Blocks.

    One that nobody listens on was left by a crash and is replaced. Raises: BusyError if another daemon
    listens on it, ConfigError if it can't be created.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"{path} is too long for a socket: {len(os.fsencode(path))} of {MAX_PATH_BYTES} bytes",
            hint="set socket to a shorter path",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        listener.bind(str(path))
        path.chmod(MODE)  # before listen(): until then nobody can connect
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"{path}: {error.strerror}", hint="set socket to another path") from error
    except NodeError:
        listener.close()
        raise
    return listener


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"{path} exists and is not a socket", hint="set socket to another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise BusyError(
                f"another daemon listens on {path}",
                hint="stop it with node-ctl shutdown, or start this one with another --socket",
            )


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
