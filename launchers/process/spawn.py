"""Starts an engine's first process, and reads how it ended."""

import os
from pathlib import Path
from signal import Signals

from domain.errors import EngineError
from launchers.command import Command
from launchers.process import logfile

# Python ignores these; an engine gets their default action, as from subprocess.Popen.
RESTORED = (Signals.SIGPIPE, Signals.SIGXFSZ)


def spawn(command: Command, log_path: Path, limit_bytes: int) -> tuple[int, int]:
    """Blocking: starts the engine with its output going to the log; the pid and the offset of its lines.

    Raises: EngineError when the binary can't be started or the log can't be written."""
    try:
        descriptor, log_start = logfile.open_log(log_path, limit_bytes)
    except OSError as error:
        raise EngineError(
            f"the engine's log {log_path} can't be written: {error.strerror}",
            hint="the daemon's user must be able to write there, and the disk must have room",
            cause="no_log",
        ) from error
    try:
        pid = os.posix_spawn(
            command.argv[0],
            command.argv,
            command.environment(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
                (os.POSIX_SPAWN_DUP2, descriptor, 2),
            ],
            setsid=True,  # so that a stop reaches grandchildren, and a ^C at the daemon reaches none
            setsigmask=(),
            setsigdef=RESTORED,
        )
    except OSError as error:
        raise EngineError(
            f"{command.argv[0]} can't be started: {error.strerror}",
            hint="check the engine's path in the settings",
            cause="missing",
        ) from error
    finally:
        os.close(descriptor)
    return pid, log_start


def reap(pidfd: int) -> int | None:
    """The exit status of an ended child, which is reaped here; ``None`` for an adopted engine."""
    try:
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
