"""Where this user's daemon keeps its state and listens: as its settings say, read without their weight."""

import os
import tomllib
from pathlib import Path
from typing import Any

from config import paths


def named_socket() -> Path | None:
    """The socket that was named for this command: ``--socket`` or NODE_DAEMON_SOCKET."""
    named = os.environ.get("NODE_DAEMON_SOCKET")
    return Path(named) if named else None


def state_dir() -> Path:
    """The variable, the settings file, the default: the daemon's own order."""
    named = os.environ.get("NODE_DAEMON_STATE_DIR") or _setting("state_dir")
    return Path(named).expanduser() if named else paths.state_dir()


def sockets() -> tuple[Path, ...]:
    """Where to look for a daemon, in this order: the named socket alone, or the user's, then the system's."""
    named = named_socket()
    if named is not None:
        return (named,)
    told = _setting("socket")
    return (Path(told).expanduser() if told else paths.socket_path(state_dir()), paths.SYSTEM_SOCKET)


def _setting(key: str) -> str | None:
    """A setting of the file; nothing where it can't be read: the daemon says why, with a line number."""
    file = paths.config_file()
    if file is None:
        return None
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text())
    except (OSError, ValueError):
        return None
    value = settings.get(key)
    return value if isinstance(value, str) else None
