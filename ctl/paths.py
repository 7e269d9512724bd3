"""State directory and socket of this user's daemon, from its settings, without importing pydantic."""

import os
import tomllib
from pathlib import Path
from typing import Any

from config import paths


def named_socket() -> Path | None:
    """The socket given by ``--socket`` or NODE_DAEMON_SOCKET."""
    path = os.environ.get("NODE_DAEMON_SOCKET")
    return Path(path) if path else None


def state_dir() -> Path:
    """From the variable, the settings file, the default: the daemon's own order."""
    path = os.environ.get("NODE_DAEMON_STATE_DIR") or _setting("state_dir")
    return Path(path).expanduser() if path else paths.state_dir()


def sockets() -> tuple[Path, ...]:
    """Where to look for a daemon, in this order: only the given socket, or the user's, then the system's."""
    named = named_socket()
    if named is not None:
        return (named,)
    path = _setting("socket")
    return (Path(path).expanduser() if path else paths.socket_path(state_dir()), paths.SYSTEM_SOCKET)


def _setting(key: str) -> str | None:
    """A setting of the file; ``None`` where it can't be read: the daemon reports the error."""
    file = paths.config_file()
    if file is None:
        return None
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text())
    except (OSError, ValueError):
        return None
    value = settings.get(key)
    return value if isinstance(value, str) else None
