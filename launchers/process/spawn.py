"""Starts an engine's first process, and reads how it ended."""

import os
from contextlib import ExitStack
from pathlib import Path
from signal import Signals

from domain.errors import EngineError
from launchers.command import Command
from launchers.process import logfile
from launchers.sandbox import policy, scratch, shim
from launchers.sandbox.policy import Network, Sandbox

# Python ignores these; an engine gets their default action, as from subprocess.Popen.
RESTORED = (Signals.SIGPIPE, Signals.SIGXFSZ)
REPORT_BYTES = 4096


def spawn(
    command: Command, log_path: Path, limit_bytes: int, sandbox: Sandbox | None = None
) -> tuple[int, int]:
    """Blocking: starts the engine with its output going to the log; the pid and the offset of its lines.
    Returns once the binary runs.

    Raises: EngineError when the binary can't be started or the log can't be written."""
    try:
        descriptor, log_start = logfile.open_log(log_path, limit_bytes)
    except OSError as error:
        raise EngineError(
            f"the engine's log {log_path} can't be written: {error.strerror}",
            hint="the daemon's user must be able to write there, and the disk must have room",
            cause="no_log",
        ) from error
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        if sandbox is None:
            pid = _execute(command.argv, command.environment(os.environ), descriptor, os.devnull)
        else:
            pid = _execute_in(sandbox, command, descriptor, opened)
    return pid, log_start


def _execute_in(sandbox: Sandbox, command: Command, log: int, opened: ExitStack) -> int:
    """By way of the shim, which reads its rules from standard input."""
    environment = command.environment(os.environ, sandbox.variables)
    network = Network(None if command.connects is None else (command.port,), command.connects)
    policy.load_nvidia_module()
    try:
        environment |= scratch.prepare(sandbox.scratch)
        rules = policy.rules_for(
            command.argv, environment, sandbox, network=network, writes=command.writes, report=True
        )
        stdin = opened.enter_context(rules.open())
    except OSError as error:
        raise _not_confined(command, f"{error.filename}: {error.strerror}") from error
    reader, writer = os.pipe()
    opened.callback(os.close, reader)
    try:
        pid = _execute((*shim.COMMAND, *command.argv), environment, log, stdin.fileno(), report=writer)
    finally:
        os.close(writer)
    _raise_reported(command, os.read(reader, REPORT_BYTES), pid)
    return pid


def _execute(
    argv: tuple[str, ...],
    environment: dict[str, str],
    log: int,
    stdin: int | str,
    *,
    report: int | None = None,
) -> int:
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0)
        if isinstance(stdin, str)
        else (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    if report is not None:  # last: it may take the number of one of the others
        actions.append((os.POSIX_SPAWN_DUP2, report, shim.REPORT_FD))
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=actions,
            setsid=True,  # so that a stop reaches grandchildren, and a ^C at the daemon reaches none
            setsigmask=(),
            setsigdef=RESTORED,
        )
    except OSError as error:
        raise _not_started(argv[0], error.strerror) from error


def _raise_reported(command: Command, report: bytes, pid: int) -> None:
    """What the shim wrote instead of executing the engine; nothing is written where it was executed."""
    if not report:
        return
    os.waitpid(pid, 0)
    step, _, why = report.decode(errors="replace").partition(" ")
    raise _not_started(command.argv[0], why) if step == "exec" else _not_confined(command, why)


def _not_started(program: str, why: str | None) -> EngineError:
    return EngineError(
        f"{program} can't be started: {why}", hint="check the engine's path in the settings", cause="missing"
    )


def _not_confined(command: Command, why: str | None) -> EngineError:
    return EngineError(
        f"{command.argv[0]} can't be confined: {why}",
        hint="node-ctl doctor tells what this kernel supports; engine_sandbox = false starts engines without",
        cause="no_sandbox",
    )


def reap(pidfd: int) -> int | None:
    """The exit status of an ended child, which is reaped here; ``None`` for an adopted engine."""
    try:
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
