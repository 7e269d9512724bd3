"""Programs of the product in processes of their own that are forked with their imports made: the start and
the end of an interpreter take ten times the CPU of what most commands do, and half of a daemon's.

A fork server runs for each program and each choice of what an interpreter reads at its start (``LC_ALL``,
``PYTHONUTF8``, ``LD_PRELOAD`` ...). What a start itself does is for tests that start one:
tests/ctl/test_help.py, and test_finding.py beside it for the daemon.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

ROOT = Path(__file__).parent.parent.parent
AT_START = ("LANG", "LC_", "PYTHON", "LD_", "UMOCKDEV_")
WITHIN_S = 240  # a bound for a machine that is busy, not a measure
MAX_REQUEST_BYTES = 1 << 17
LATER = {"ctl.main": ("rich.console", "rich.live", "rich.progress", "rich.table", "http.client", "asyncio")}


class Child:
    """As ``subprocess.Popen``, as far as tests need it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its end is about to be told
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = int(self._connection.recv(32))
            self._connection.close()
        return self.returncode


def start(
    program: str,
    args: Sequence[str],
    env: Mapping[str, str],
    files: tuple[int, int, int],
    *,
    cwd: Path = ROOT,
    terminal: bool = False,
) -> Child:
    """``program``: a module with ``run``. ``files`` become its standard streams; with ``terminal`` the first
    one is its controlling terminal."""
    at_start = {name: value for name, value in env.items() if name.startswith(AT_START)}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    task = {"args": list(args), "env": dict(env), "cwd": str(cwd), "terminal": terminal}
    request = json.dumps(task).encode()
    assert len(request) < MAX_REQUEST_BYTES
    with theirs:
        socket.send_fds(_server(program, tuple(at_start.items())), [request], [*files, theirs.fileno()])
    return Child(ours)


def node_ctl(args: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit status, standard output and error; standard input is /dev/null."""
    with TemporaryFile() as out, TemporaryFile() as err, Path(os.devnull).open() as nothing:
        child = start("ctl.main", args, env, (nothing.fileno(), out.fileno(), err.fileno()))
        return child.wait(WITHIN_S), _written(out), _written(err)


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


@cache
def _server(program: str, at_start: tuple[tuple[str, str], ...]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    argv = [sys.executable, "-m", "tests.rigs.forked", program, str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **dict(at_start)},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def serve(control: socket.socket) -> list[str]:
    """Returns in each forked process, with the arguments of its command. The server ends with its client."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ended in select.select([control, *running], [], [])[0]:
            if ended is not control:
                pid, told = running.pop(ended)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(
                    BrokenPipeError
                ):  # nobody waits for it any more: others still start theirs here
                    told.send(b"%d" % status)
                told.close()
                os.close(ended)
                continue
            request, files, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 4)
            if not request:
                sys.exit(0)
            told = socket.socket(fileno=files.pop())
            pid = os.fork()
            if pid == 0:
                for other in (control, told, *(connection for _, connection in running.values())):
                    other.close()
                for other in running:
                    os.close(other)
                return become(files, **json.loads(request))
            for file in files:
                os.close(file)
            told.send(b"%d" % pid)
            running[os.pidfd_open(pid)] = pid, told


def become(
    files: Sequence[int], args: list[str], env: dict[str, str], cwd: str, *, terminal: bool
) -> list[str]:
    if terminal:
        os.login_tty(os.dup(files[0]))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        before = getattr(sys, name)
        stream = open(  # noqa: SIM115 - it is the process's
            before.fileno(),
            mode,
            encoding=before.encoding,
            errors=before.errors,
            buffering=1 if name == "stderr" or os.isatty(before.fileno()) else -1,
            closefd=False,
        )
        setattr(sys, name, stream)
    return args


def main() -> None:
    name, control = sys.argv[1:]
    program = import_module(name)
    for module in (*getattr(program, "MODULES", {}).values(), *LATER.get(name, ())):
        import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy all these pages
    sys.argv = [str(program.__file__), *serve(socket.socket(fileno=int(control)))]
    status: object = 1
    try:
        status = program.run()
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001 - as an interpreter ends with it
        traceback.print_exc()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    # not the end of an interpreter, which touches every page that is shared with the server
    os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
