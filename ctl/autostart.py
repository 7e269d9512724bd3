"""Finds the daemon, and starts one for this user where none runs and no system service is installed."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from config import instance
from config.instance import Instance
from config.paths import SYSTEM_SOCKET
from ctl import paths
from ctl.client import START_HINT, Daemon, Peer, find_socket, other_daemons
from ctl.terminal import note
from domain.errors import DaemonGoneError, StateError

UNIT_PATHS = (
    "etc/systemd/system/node-daemon.service",
    "usr/lib/systemd/system/node-daemon.service",
    "lib/systemd/system/node-daemon.service",
)
PATH_VARIABLES = (
    "NODE_DAEMON_CONFIG",
    "NODE_DAEMON_MODELS_DIR",
    "NODE_DAEMON_SOCKET",
    "NODE_DAEMON_STATE_DIR",
    "NODE_DAEMON_SYSROOT",
)
# A cold start on a slow disk reads the environment's code, opens the store and probes the machine once.
START_TIMEOUT_S = 30.0
LOST_SOCKET_TIMEOUT_S = 5.0  # the daemon looks for its socket once a second
POLL_S = 0.05
LOG_TAIL_LINES = 5


def connect() -> Daemon:
    """The running daemon. Raises: DaemonGoneError, with how to start it, where none is running."""
    socket = find_socket() or _await_socket(LOST_SOCKET_TIMEOUT_S)
    if socket is None:
        raise _not_running()
    return Daemon(socket)


def connect_or_start() -> Daemon:
    """The running daemon, or one started for this user, which a line on standard error then says.

    Concurrent callers share one start. Raises: DaemonGoneError where a system unit is installed but not
    running, and where the new daemon does not come up.
    """
    socket = find_socket() or _await_socket(START_TIMEOUT_S)
    if socket is not None:
        return Daemon(socket)
    if paths.named_socket() is None and system_unit() is not None:
        raise _not_running()
    with _start_lock():
        socket = find_socket() or _await_socket(START_TIMEOUT_S) or _start()
    return Daemon(socket)


def _await_socket(timeout_s: float) -> Path | None:
    """The socket of the daemon that holds this user's state, as soon as it has one: it may be starting or
    ending, or have lost it a moment ago. ``None`` once no daemon holds the state. Raises: DaemonGoneError."""
    deadline = time.monotonic() + timeout_s
    told = False
    while (holder := instance.running(paths.state_dir())) is not None:
        if (socket := find_socket()) is not None:
            return socket
        named = paths.named_socket()
        if holder.socket is not None and named not in (None, holder.socket, holder.configured):
            raise DaemonGoneError(
                f"no node-daemon listens on {named}: the one of {paths.state_dir()} (pid {holder.pid})"
                f" listens on {holder.socket}",
                hint="leave out --socket and NODE_DAEMON_SOCKET, or use another state_dir",
            )
        if time.monotonic() > deadline:
            raise _without_socket(holder)
        if not told:
            note(f"waiting for node-daemon (pid {holder.pid}), which listens on no socket at the moment")
            told = True
        time.sleep(POLL_S)
    return None


def _without_socket(holder: Instance) -> DaemonGoneError:
    gone = "" if holder.socket is None else f": {holder.socket} is gone"
    return DaemonGoneError(
        f"node-daemon (pid {holder.pid}) is running, but listens on no socket{gone}",
        hint="it is starting or ending, or hangs: its log tells which; "
        f"kill {holder.pid} ends it with its engines, and the next node-ctl launch starts another",
    )


def system_unit() -> Path | None:
    """The installed unit of the system service, if any."""
    root = Path(os.environ.get("NODE_DAEMON_SYSROOT") or "/")
    return next((root / path for path in UNIT_PATHS if (root / path).exists()), None)


def _not_running() -> DaemonGoneError:
    named = paths.named_socket()
    if named is not None:
        return DaemonGoneError(f"no node-daemon listens on {named}", hint=START_HINT)
    unit = system_unit()
    if unit is not None:
        return DaemonGoneError(
            f"node-daemon is installed as a service ({unit}) but not running",
            hint="start it with: sudo systemctl start node-daemon",
        )
    return DaemonGoneError("no node-daemon is running", hint=START_HINT)


@contextmanager
def _start_lock() -> Iterator[None]:
    state = paths.state_dir()
    with _state_errors(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o750)  # it will hold logs and prompts
        lock = (state / "autostart.lock").open("w")
    with lock:
        _lock(lock, state)
        yield


def _lock(file: TextIO, state: Path) -> None:
    """Raises: StateError on a file system without locks, such as some of NFS."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise StateError(
            f"the state directory {state} can't be locked: {error.strerror}",
            hint="set state_dir to a folder on a local disk, in the settings or in NODE_DAEMON_STATE_DIR",
        ) from error


@contextmanager
def _state_errors(state: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the state directory {state} can't be written to: {error.strerror}",
            hint="set another state_dir in the settings or in NODE_DAEMON_STATE_DIR",
        ) from error


def _start() -> Path:
    log_path = paths.state_dir() / "node-daemon.log"
    with _state_errors(log_path.parent):
        if log_path.exists():
            log_path.replace(log_path.with_suffix(".log.1"))
        log = log_path.open("wb")
    with log:
        child = subprocess.Popen(
            [sys.executable, "-m", "daemon.main"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",  # so that it holds no mount and imports nothing from the working directory
            env=absolute(os.environ),
            start_new_session=True,  # outlives this terminal and its Ctrl-C
        )
    note(f"started node-daemon (pid {child.pid}), log: {log_path}")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (socket := find_socket()) is not None:
            _tell_settings_problems()
            return socket
        if child.poll() is not None:
            raise DaemonGoneError(
                f"node-daemon exited with status {child.returncode} while starting", hint=_log_tail(log_path)
            )
        time.sleep(POLL_S)
    raise DaemonGoneError(
        f"node-daemon (pid {child.pid}) is not listening after {START_TIMEOUT_S:.0f} s",
        hint=f"see {log_path}",
    )


def _tell_settings_problems() -> None:
    """The daemon does not refuse such a file: it runs with the settings of its last good start."""
    from config import loading  # noqa: PLC0415 - only a start needs pydantic

    if problems := loading.read(None).file_problems:
        note(f"it does not use the settings file: {problems[0]}; node-ctl config check shows all problems")


def absolute(environ: Mapping[str, str]) -> dict[str, str]:
    """Makes paths in variables absolute: they are relative to this command's working directory."""
    absolute_paths = {key: os.path.abspath(environ[key]) for key in PATH_VARIABLES if environ.get(key)}  # noqa: PTH100 - Path.resolve follows links
    return {**environ, **absolute_paths}


def _log_tail(log_path: Path) -> str:
    tail = log_path.read_text(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
    return "\n      ".join(["its log ends with:", *tail]) if tail else f"its log is empty: {log_path}"


def told_others(running: Peer | None, command: str) -> Sequence[Peer]:
    """The other daemons, after a line on standard error for each, with how to ask it with ``command``."""
    if running is None:
        return []
    others = other_daemons(running)
    for other in others:
        note(
            f"this is {owner(running)} ({running.socket}); there is also {owner(other)}:"
            f" node-ctl --socket {other.socket} {command}"
        )
    return others


def as_row(peer: Peer) -> dict[str, object]:
    """For JSON."""
    return {"user": peer.user, "pid": peer.pid, "socket": str(peer.socket)}


def owner(peer: Peer) -> str:
    pid = "" if peer.pid is None else f", pid {peer.pid}"
    kind = "the system service" if peer.socket == SYSTEM_SOCKET else "the node-daemon"
    return f"{kind} of the user {peer.user}{pid}"
