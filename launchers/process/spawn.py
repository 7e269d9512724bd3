"""Starts an engine's first process: in a unit of its own where it can, else as our child."""

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from signal import Signals

from domain.errors import EngineError
from launchers.command import Command
from launchers.process import logfile, procfs, unit
from launchers.process.leader import Leader, Started
from launchers.process.procfs import Identity
from launchers.sandbox import policy, scratch, shim, unit_access
from launchers.sandbox.policy import Network, Rules, Sandbox

log = logging.getLogger(__name__)

# Python ignores these; an engine gets their default action, as from subprocess.Popen.
RESTORED = (Signals.SIGPIPE, Signals.SIGXFSZ)
REPORT_BYTES = 4096


def spawn(command: Command, log_path: Path, limit_bytes: int, sandbox: Sandbox | None = None) -> Started:
    """Blocking: starts the engine with its output going to the log. Returns once the binary runs.

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
            return Started(_child(pid), log_start)
        policy.load_nvidia_module()
        refused = None
        if sandbox.unit is not None and sandbox.confined:
            try:
                return Started(_start_unit(sandbox.unit, sandbox, command, descriptor), log_start)
            except EngineError as error:
                log.warning("engine is run by the daemon's own user: name=%s %s", sandbox.unit, error)
                refused = error
        pid = _execute_in(sandbox, command, descriptor, opened)
        return Started(_child(pid), log_start, refused)


def _child(pid: int) -> Leader:
    """A child that has ended keeps its pid until it is reaped."""
    stat = procfs.stat(pid)
    return Leader(Identity(pid, 0 if stat is None else stat.start_ticks), os.pidfd_open(pid))


def _start_unit(name: str, sandbox: Sandbox, command: Command, log_descriptor: int) -> Leader:
    """Raises: EngineError where it can't run in one."""
    environment = command.environment(os.environ, sandbox.variables)
    if (refused := unit_access.why_not(command, environment, sandbox)) is not None:
        raise refused
    environment |= unit.folders(name)
    with _rules(command, environment, sandbox).open() as rules:
        started, identity, pidfd = unit.start(
            name, command.argv, environment, rules, log_descriptor, sandbox.limits
        )
    return Leader(identity, pidfd, started)


def _rules(command: Command, environment: dict[str, str], sandbox: Sandbox) -> Rules:
    network = Network(None if command.connects is None else (command.port,), command.connects)
    return policy.rules_for(
        command.argv,
        environment,
        sandbox,
        network=network,
        writes=command.writes,
        report=True,
        key=command.key,
    )


def _execute_in(sandbox: Sandbox, command: Command, log: int, opened: ExitStack) -> int:
    """By way of the shim, which reads its rules from standard input."""
    environment = command.environment(os.environ, sandbox.variables)
    try:
        environment |= scratch.prepare(sandbox.scratch)
        stdin = opened.enter_context(_rules(command, environment, sandbox).open())
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
