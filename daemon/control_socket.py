"""The file of the control socket, for its owner and group; it never replaces that of another daemon."""

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from domain.errors import BusyError, ConfigError, NodeError
from launchers.process.peer import credentials

MODE = 0o660
CONNECT_TIMEOUT_S = 5.0
MAX_PATH_BYTES = 107  # unix(7): sun_path has 108 bytes, the last one is 0


@dataclass(frozen=True, slots=True)
class ControlSocket:
    """``file`` tells ``path`` as it was bound from another file there: an inode's number is used again."""

    path: Path
    listener: socket.socket
    file: tuple[int, int, int]

    def is_in_place(self) -> bool:
        """Whether clients that open ``path`` reach this process. Blocks."""
        try:
            return _file(self.path) == self.file or _listener_pid(self.path) == os.getpid()
        except OSError:
            return False

    def remove(self) -> None:
        """Blocks."""
        if self.is_in_place():
            with suppress(FileNotFoundError):
                self.path.unlink()


def bind(path: Path, *, make_folder: bool = True) -> ControlSocket:
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
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        listener.bind(str(path))
        path.chmod(MODE)  # before listen(): until then nobody can connect
        listener.listen(128)
        return ControlSocket(path, listener, _file(path))
    except OSError as error:
        listener.close()
        raise ConfigError(f"{path}: {error.strerror}", hint="set socket to another path") from error
    except NodeError:
        listener.close()
        raise


def _file(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _listener_pid(path: Path) -> int:
    """Raises: OSError where nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(CONNECT_TIMEOUT_S)
        caller.connect(str(path))
        return credentials(caller).pid


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"{path} exists and is not a socket", hint="set socket to another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(CONNECT_TIMEOUT_S)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (BlockingIOError, TimeoutError):  # it listens, with more waiting than it takes
            pass
    raise BusyError(
        f"another daemon listens on {path}",
        hint="stop it with node-ctl shutdown, or start this one with another --socket",
    )
