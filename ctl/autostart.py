"""Finds the daemon of this user, and starts one where none runs and no system service should."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ctl import paths as where
from ctl.client import START_HINT, Daemon, find_socket
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
# A cold start on a slow disk reads the environment's code, opens the store and looks at the machine once.
START_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG_TAIL_LINES = 5


def daemon() -> Daemon:
    """The daemon that runs. Raises: DaemonGoneError, with how to start it, where none does."""
    found = find_socket()
    if found is None:
        raise _none_runs()
    return Daemon(found)


def daemon_or_start() -> Daemon:
    """The daemon that runs, or one started for this user, as a line on standard error then says.

    Callers that meet share one start. Raises: DaemonGoneError where a system unit is installed but not
    running, and where the new daemon does not come up.
    """
    found = find_socket()
    if found is not None:
        return Daemon(found)
    if where.named_socket() is None and system_unit() is not None:
        raise _none_runs()
    with _one_at_a_time():
        found = find_socket() or _start()
    return Daemon(found)


def system_unit() -> Path | None:
    """The installed unit of the system service, if there is one."""
    root = Path(os.environ.get("NODE_DAEMON_SYSROOT") or "/")
    return next((root / path for path in UNIT_PATHS if (root / path).exists()), None)


def _none_runs() -> DaemonGoneError:
    named = where.named_socket()
    if named is not None:
        return DaemonGoneError(f"no node-daemon listens on {named}", hint=START_HINT)
    unit = system_unit()
    if unit is not None:
        return DaemonGoneError(
            f"node-daemon is installed as a service ({unit}) and not running",
            hint="start it with: sudo systemctl start node-daemon",
        )
    return DaemonGoneError("no node-daemon is running", hint=START_HINT)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    state = where.state_dir()
    with _state_errors(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o750)  # its logs and prompts are the owner's
        lock = (state / "autostart.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _state_errors(state: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the folder of the daemon's state, {state}, can't be written to: {error.strerror}",
            hint="name another one with state_dir in the settings, or with NODE_DAEMON_STATE_DIR",
        ) from error


def _start() -> Path:
    log_path = where.state_dir() / "node-daemon.log"
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
            cwd="/",  # holds no mount, and no folder of the owner's is on its import path
            env=absolute(os.environ),
            start_new_session=True,  # outlives this terminal and its Ctrl-C
        )
    note(f"started node-daemon (pid {child.pid}), log: {log_path}")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (found := find_socket()) is not None:
            return found
        if child.poll() is not None:
            raise DaemonGoneError(
                f"node-daemon exited with status {child.returncode} at its start", hint=_last_words(log_path)
            )
        time.sleep(POLL_S)
    raise DaemonGoneError(
        f"node-daemon (pid {child.pid}) does not listen after {START_TIMEOUT_S:.0f} s", hint=f"see {log_path}"
    )


def absolute(environ: Mapping[str, str]) -> dict[str, str]:
    """Paths in variables mean this command's working folder, not the daemon's."""
    paths = {key: os.path.abspath(environ[key]) for key in PATH_VARIABLES if environ.get(key)}  # noqa: PTH100 - Path.resolve follows links
    return {**environ, **paths}


def _last_words(log_path: Path) -> str:
    tail = log_path.read_text(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
    return "\n      ".join(["its last words:", *tail]) if tail else f"its log is empty: {log_path}"
