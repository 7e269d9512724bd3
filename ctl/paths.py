"""State directory and socket of this user's daemon, from its settings, without importing pydantic."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config import last_good, paths, toml


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
    return default_sockets() if named is None else (named,)


def default_sockets() -> tuple[Path, Path]:
    """The user's and the system's, when no socket is given."""
    path = _setting("socket")
    return (Path(path).expanduser() if path else paths.socket_path(state_dir()), paths.SYSTEM_SOCKET)


def _setting(key: str) -> str | None:
    """A setting of the file. Where it can't be read the daemon runs with an earlier one, and so does this."""
    file = paths.config_file()
    if file is None:
        return None
    try:
        settings: Mapping[str, Any] = toml.loads(file.read_text())
    except (OSError, ValueError):
        last = last_good.recall(last_good.place())
        settings = {} if last is None else last.values
    value = settings.get(key)
    return value if isinstance(value, str) else None
