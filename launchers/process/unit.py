"""The unit of an engine (systemd/node-daemon-engine@.service): started, signalled, and asked how it ended.

It runs under a user of its own, whom the daemon's may not signal: systemd does that, as far as the rule for
polkit (systemd/node-daemon.rules) allows.
"""

import json
import logging
import marshal
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import Signals
from typing import BinaryIO

from domain.errors import EngineError
from launchers.process import procfs
from launchers.process.peer import credentials
from launchers.process.procfs import Identity
from launchers.sandbox import in_unit
from launchers.sandbox.limits import Limits

log = logging.getLogger(__name__)

SERVICE = "node-daemon.service"
NAME = "node-daemon-engine@{}.service"
OURS = re.compile(r"node-daemon(?:-engine@[a-z0-9._-]+)?\.service")
OF_USERS = "/user.slice/"  # units of a user's own systemd may have any name
HOME = "/var/cache/node-daemon-engine/{}"  # CacheDirectory of the unit
TMP = "/tmp"  # noqa: S108 - of the unit alone
START_S = 60.0  # until its first process runs, on a busy machine
LOOK_S = 0.5
ORDER_S = 30.0
ENDED_S = 5.0  # systemd notes the end of a process a little later than we do
REPORT_BYTES = 4096
REFUSED_HINT = "install polkit 0.106 or newer (sudo apt-get install polkitd) and restart the launch"
INSTALL_HINT = "sudo node-ctl service install --now installs the unit"


@dataclass(frozen=True, slots=True)
class Result:
    """``status`` is negative for a signal, ``None`` where systemd doesn't know it any more."""

    status: int | None = None
    oom_killed: bool = False


def of(pid: int) -> str | None:
    """The unit of the system in whose control group the process is, if it is one of ours."""
    try:
        lines = (procfs.PROC / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return None
    units = (line.rpartition("/")[2] for line in lines if OF_USERS not in line)
    return next((unit for unit in units if OURS.fullmatch(unit)), None)


def of_engine(pid: int) -> str | None:
    unit = of(pid)
    return None if unit == SERVICE else unit


def is_service() -> bool:
    """Whether this process is the daemon of the system's service, whose engines get units."""
    return of(os.getpid()) == SERVICE


def engines() -> tuple[Identity, ...]:
    """The first processes of all units of engines, in the service; else none. Blocks."""
    if not is_service():
        return ()
    pids = (pid for pid in procfs.pids() if of_engine(pid) is not None and _leads(pid))
    return tuple(found for pid in pids if (found := procfs.identity(pid)) is not None)


def folders(name: str) -> dict[str, str]:
    """The variables that name what the engine of a launch may write in its unit."""
    home = HOME.format(name)
    return {"HOME": home, "XDG_CACHE_HOME": f"{home}/.cache", "TMPDIR": TMP}


def start(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    rules: BinaryIO,
    log_descriptor: int,
    limits: Limits | None = None,
) -> tuple[str, Identity, int]:
    """The unit, its first process and a pidfd of that. Returns once the engine's binary runs.

    Raises: EngineError where it can't run in a unit."""
    unit = NAME.format(name)
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX))
        _listen(listener, name)
        opened.callback((Path(in_unit.FOLDER) / name).unlink, missing_ok=True)
        _order("start", "--no-block", unit)
        try:
            connection, pid = _accept(listener, unit, limits)
        except EngineError:
            _order("stop", "--no-block", unit)
            raise
        opened.enter_context(connection)
        pidfd = os.pidfd_open(pid)
        stat = procfs.stat(pid)
        identity = Identity(pid, 0 if stat is None else stat.start_ticks)
        try:
            command = opened.enter_context(_in_memory(argv, environment))
            _hand_over(connection, command, rules, log_descriptor)
        except (OSError, EngineError) as error:
            os.close(pidfd)
            raise _error(f"{unit} did not start it: {error}", f"journalctl -u {unit}") from error
        return unit, identity, pidfd


def kill(unit: str, number: Signals, *, whom: str) -> None:
    """``whom`` is ``main`` or ``all``. A refusal is logged: the engine then does not end."""
    done = _systemctl("kill", f"--kill-who={whom}", f"--signal={number.name}", unit)
    if done.returncode != 0 and "not loaded" not in done.stderr:
        log.warning(
            "engine not signalled: unit=%s signal=%s error=%s", unit, number.name, done.stderr.strip()
        )


def result(unit: str) -> Result:
    """Waits until systemd has noted its end, and has it forget a failure, which is the daemon's to report."""
    deadline_s = time.monotonic() + ENDED_S
    while (shown := _show(unit)).get("ActiveState") not in ("inactive", "failed"):
        if not shown or time.monotonic() > deadline_s:
            return Result()
        time.sleep(0.05)
    if shown["ActiveState"] == "failed":
        _systemctl("reset-failed", unit)
    code, status = int(shown["ExecMainCode"]), int(shown["ExecMainStatus"])
    if code == 0:
        return Result()
    return Result(status if code == os.CLD_EXITED else -status, oom_killed=shown["Result"] == "oom-kill")


def forget(name: str) -> None:
    """Removes what the engines of a launch wrote in their unit."""
    if is_service():
        _systemctl("clean", "--what=cache", NAME.format(name))


def _leads(pid: int) -> bool:
    stat = procfs.stat(pid)
    return stat is not None and stat.session == pid


def _listen(listener: socket.socket, name: str) -> None:
    """Of the unit's namespace only this socket is a part: the file must be there before it starts."""
    path = Path(in_unit.FOLDER) / name
    try:
        path.parent.mkdir(mode=0o750, exist_ok=True)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(2)
    except OSError as error:
        raise _error(f"{path} can't be made: {error.strerror}", INSTALL_HINT) from error
    listener.settimeout(LOOK_S)


def _accept(listener: socket.socket, unit: str, limits: Limits | None) -> tuple[socket.socket, int]:
    """The connection of the unit's main process, after root's own has asked for the limits."""
    answer = b"" if limits is None else json.dumps(asdict(limits)).encode()
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            shown = _show(unit)
            if shown.get("ActiveState") in ("failed", "inactive") and not int(shown.get("Job") or 0):
                raise _error(
                    f"{unit} ended at once: {shown.get('Result')}", f"journalctl -u {unit}"
                ) from None
            continue
        peer = credentials(connection)
        if of(peer.pid) == unit and peer.uid != 0:
            connection.settimeout(START_S)
            return connection, peer.pid
        with connection, suppress(OSError):
            if peer.uid == 0:
                connection.sendall(answer)
    raise _error(f"{unit} did not start within {START_S:g} s", f"systemctl status {unit}")


def _hand_over(connection: socket.socket, command: BinaryIO, rules: BinaryIO, log_descriptor: int) -> None:
    socket.send_fds(connection, [b"c"], [command.fileno(), rules.fileno(), log_descriptor])
    if report := connection.recv(REPORT_BYTES):
        raise EngineError(report.decode(errors="replace"), cause="no_unit")


def _in_memory(argv: Sequence[str], environment: Mapping[str, str]) -> BinaryIO:
    file = os.fdopen(os.memfd_create("command"), "w+b")
    file.write(marshal.dumps((list(argv), dict(environment))))
    file.seek(0)
    return file


def _order(*words: str) -> None:
    done = _systemctl(*words)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no answer"])[0]
        hint = INSTALL_HINT if "not found" in said else REFUSED_HINT
        raise _error(f"systemd does not start its unit: {said}", hint)


def _show(unit: str) -> dict[str, str]:
    names = "ActiveState,Result,ExecMainCode,ExecMainStatus,Job"
    lines = _systemctl("show", f"--property={names}", unit).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ("systemctl", "--no-ask-password", "--system", *words)
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ORDER_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _error(why: str, hint: str) -> EngineError:
    return EngineError(why, hint=hint, cause="no_unit")
