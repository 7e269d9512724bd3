"""What a program can do in place of an engine, tried by such a program in a real sandbox."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import EngineError
from launchers import llama_cpp
from launchers.command import Command
from launchers.process.engine import EngineProcess
from launchers.process.procfs import is_engine
from launchers.process.spawn import spawn
from launchers.sandbox import scratch
from launchers.sandbox.landlock import PORTS_SINCE, SCOPES_SINCE
from launchers.sandbox.limits import Limits
from launchers.sandbox.policy import Sandbox
from launchers.sandbox.seccomp import ARCHITECTURES, UNSHARE
from launchers.sandbox.seccomp import REFUSED as REFUSED_CALLS
from launchers.sandbox.support import read_support
from tests.rigs import lent_ports

SUPPORT = read_support()
VERSION = SUPPORT.landlock or 0  # what this kernel can't limit is told by the doctor: test_engine_sandbox.py
COLUMN, _ = ARCHITECTURES[os.uname().machine]
REFUSED = ("EACCES", "EPERM")
Try = Callable[..., dict[str, Any]]

PROGRAM = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
def tcp(port, host="127.0.0.1"):
    with socket.socket() as client: client.connect((host, port))
def listen(port):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
def unix(path):
    with socket.socket(socket.AF_UNIX) as client: client.connect(path)
told = {}
for name, code in json.loads(sys.argv[1]).items():
    try:
        told[name] = eval(code) or "done"
    except OSError as error:
        told[name] = errno.errorcode[error.errno]
print(json.dumps(told))
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    yield Sandbox(tmp_path / "state" / "scratch" / "x")
    scratch.remove(tmp_path / "state" / "scratch" / "x")


@pytest.fixture
def attempt(tmp_path: Path, sandbox: Sandbox, request: pytest.FixtureRequest) -> Try:
    """What came of each expression in the sandbox: its value, "done", or the name of an error."""

    def attempt(
        *words: object,
        connects: Sequence[int] | None = (),
        port: int = 1,
        inside: Sandbox = sandbox,
        **code: str,
    ) -> dict[str, Any]:
        argv = (sys.executable, "-c", PROGRAM, json.dumps(code), *map(str, words))
        allowed = None if connects is None else tuple(connects)
        command = Command(argv, port, "x", connects=allowed)
        log = tmp_path / "attempt.log"
        started = spawn(command, log, 2**20, inside)
        os.waitpid(started.leader.identity.pid, 0)
        os.close(started.leader.pidfd)
        output = log.read_bytes()[started.log_start :].decode()
        assert output.startswith("{"), output
        return dict(json.loads(output))

    return attempt


def refused(told: dict[str, Any]) -> bool:
    return all(outcome in REFUSED for outcome in told.values())


def test_files_of_the_daemon_and_of_its_owner_are_closed(tmp_path: Path, attempt: Try) -> None:
    secrets = {name: tmp_path / "state" / name for name in ("state_db", "token")}
    for path in secrets.values():
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    reads = {name: f"open({str(path)!r}).read()" for name, path in secrets.items()}
    told = attempt(
        **reads,
        environment=f"open('/proc/{os.getpid()}/environ').read()",
        memory=f"open('/proc/{os.getpid()}/mem').read()",
        created=f"open({str(tmp_path / 'new')!r}, 'w')",
        settings="os.listdir('/etc')",
        home=f"os.listdir({str(Path.home())!r})",
    )
    if VERSION:
        assert refused(told), told
        assert not (tmp_path / "new").exists()


def test_it_goes_first_without_memory_and_locks_what_is_planned(attempt: Try, sandbox: Sandbox) -> None:
    code = "[int(open('/proc/self/oom_score_adj').read()), *resource.getrlimit(resource.RLIMIT_MEMLOCK)]"
    limited = attempt(inside=replace(sandbox, limits=Limits(0, 0, memlock_bytes=2**20)), told=code)
    assert limited["told"] == [500, 2**20, 2**20]


def test_the_model_is_readable_and_not_writable(tmp_path: Path, attempt: Try) -> None:
    blob = tmp_path / "blobs" / "0a1b"
    blob.parent.mkdir()
    blob.write_text("weights")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"m-0000{number}-of-00002.gguf").symlink_to(blob)
    (folder / "other.gguf").write_text("of another model")
    first, second = sorted(folder.glob("m-*"))
    told = attempt(
        f"--model={first}",
        part=f"open({str(second)!r}).read()",
        writing=f"open({str(first)!r}, 'r+')",
        removal=f"os.unlink({str(first)!r})",
        other=f"open({str(folder / 'other.gguf')!r})",
    )
    assert told.pop("part") == "weights"
    assert not VERSION or refused(told), told
    told = attempt(folder, snapshot=f"open({str(first)!r}).read()", added=f"open({str(folder / 'x')!r}, 'w')")
    assert told.pop("snapshot") == "weights"
    assert not VERSION or refused(told), told


def test_home_caches_temporary_files_and_shared_memory_are_its_own(attempt: Try, sandbox: Sandbox) -> None:
    told = attempt(
        home="open(os.environ['HOME'] + '/x', 'w').close()",
        cache="os.makedirs(os.environ['XDG_CACHE_HOME'] + '/shaders')",
        temporary="socket.socket(socket.AF_UNIX).bind(os.environ['TMPDIR'] + '/' + 'x' * 44)",
        shared="__import__('multiprocessing').Semaphore().acquire()",
        gpu="open('/dev/null', 'w').close()",
        rest=f"os.rename(os.environ['HOME'], {str(sandbox.scratch / 'moved')!r})",
    )
    rest = told.pop("rest")
    assert rest in REFUSED or not VERSION
    assert set(told.values()) <= {"done", True}, told
    assert (sandbox.scratch / "home" / ".cache" / "shaders").is_dir(), "kept for its next start"


def test_it_listens_on_its_port_and_connects_to_none(tmp_path: Path, attempt: Try) -> None:
    own, local = lent_ports.free(), str(tmp_path / "control")
    other = lent_ports.free(taken={own})
    with closing(socket.socket(socket.AF_UNIX)) as control, closing(socket.socket()) as service:
        control.bind(local)
        control.listen()
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        tries = {"to": f"tcp({port})", "socket": f"unix({local!r})", "other": f"listen({other})"}
        told = attempt(
            port=own,
            own=f"listen({own})",
            datagrams="socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            raw="socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            multipath="socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
            quick=f"socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', {port}))",
            **tries,
        )
        assert told.pop("own") == "done"
        if VERSION < PORTS_SINCE:
            told.pop("other")
        assert not SUPPORT.seccomp or refused(told), told
        told = attempt(connects=[port], own_port=f"tcp({port})", other=f"tcp({other})")
        assert told == {"own_port": "done", "other": "EACCES" if VERSION >= PORTS_SINCE else "ECONNREFUSED"}
        assert attempt(connects=None, any=f"tcp({port})", listening=f"listen({other})") == {
            "any": "done",
            "listening": "done",
        }


def number(call: str) -> int:
    found = REFUSED_CALLS[call][COLUMN]
    assert found is not None
    return found


def test_system_calls_that_no_engine_needs_are_refused(attempt: Try) -> None:
    told = attempt(
        trace=f"call({number('ptrace')}, 16, {os.getpid()}, 0, 0)",
        user_namespace=f"call({UNSHARE[COLUMN]}, 0x10000000)",
        rings=f"call({number('io_uring_setup')}, 1, 0)",
        keys=f"call({number('keyctl')}, 0, -3, 0)",
    )
    assert not SUPPORT.seccomp or refused(told), told


def test_it_gains_no_privileges_leaves_no_core_and_ends_no_other_program(attempt: Try) -> None:
    told = attempt(
        privileges="[line for line in open('/proc/self/status') if 'NoNewPrivs' in line][0].split()[1]",
        core="list(resource.getrlimit(resource.RLIMIT_CORE))",
        child="subprocess.run(['/bin/true']).returncode",
        own="os.kill(os.getpid(), 0)",
        other=f"os.kill({os.getpid()}, 0)",
    )
    assert told.pop("other") == ("EPERM" if VERSION >= SCOPES_SINCE else "done")
    assert (told["privileges"], told["core"], told["child"], told["own"]) == ("1", [0, 0], "done", "done")


def test_every_process_of_an_engine_is_told_from_others(tmp_path: Path, sandbox: Sandbox) -> None:
    """Also one that has left its session."""
    leave = "import os, time\nif os.fork() == 0: os.setsid()\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    started = spawn(Command((sys.executable, "-c", leave), 1, "x"), tmp_path / "log", 2**20, sandbox)
    pid = started.leader.identity.pid
    os.close(started.leader.pidfd)
    try:
        while len(pids := (tmp_path / "log").read_text().split()) < 2:
            os.sched_yield()
        assert len({os.getsid(int(each)) for each in pids}) == 2
        assert all(is_engine(int(each)) for each in pids)
    finally:
        for each in {pid, *map(int, pids)}:
            os.kill(each, 9)
        os.waitpid(pid, 0)
    assert not is_engine(os.getpid())
    assert is_engine(pid), "whoever connected and is gone may have been one"


def test_a_temporary_folder_with_a_long_name_is_elsewhere_and_is_removed_with_it(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / "x"
    folder = Path(scratch.prepare(deep)["TMPDIR"])
    assert len(str(folder)) <= scratch.LONGEST
    assert Path(scratch.prepare(deep)["TMPDIR"]) == folder, "the same at its next start"
    folder.rmdir()
    folder.symlink_to(tmp_path)  # by another user, in a folder for everybody
    again = Path(scratch.prepare(deep)["TMPDIR"])
    assert again != folder
    scratch.remove(deep)
    assert not again.exists()
    assert tmp_path.exists()
    folder.unlink()


def test_what_can_t_be_started_is_told_as_without_a_sandbox(tmp_path: Path, sandbox: Sandbox) -> None:
    for program in (tmp_path / "missing", tmp_path):
        with pytest.raises(EngineError, match="can't be started") as caught:
            spawn(Command((str(program),), 1, "x"), tmp_path / "log", 2**20, sandbox)
        assert caught.value.cause == "missing"
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="can't be confined") as caught:
        spawn(Command(("/bin/true",), 1, "x"), tmp_path / "log", 2**20, Sandbox(tmp_path / "file" / "x"))
    assert caught.value.cause == "no_sandbox"


def test_an_owner_can_open_more_and_switch_it_off(tmp_path: Path, attempt: Try, sandbox: Sandbox) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "lib").write_text("library")
    read = f"open({str(theirs / 'lib')!r}).read()"
    assert attempt(inside=Sandbox(sandbox.scratch, folders=(theirs,)), read=read) == {"read": "library"}
    off = attempt(
        inside=Sandbox(sandbox.scratch, confined=False),
        read=read,
        write=f"open({str(theirs / 'x')!r}, 'w').close()",
    )
    assert off == {"read": "library", "write": "done"}


async def test_an_engine_that_is_denied_a_file_is_told_how_it_gets_it(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    theirs = tmp_path / "lib.so"
    theirs.touch()
    command = Command((sys.executable, "-c", f"open({str(theirs)!r})"), lent_ports.free(), "x")
    process = EngineProcess(command, log_path=tmp_path / "log", diagnose=llama_cpp.diagnose, sandbox=sandbox)
    if VERSION:
        with pytest.raises(EngineError) as failed:
            await process.ensure_ready(60)
        assert "engine_folders" in failed.value.hint


def test_a_key_is_read_from_a_file_that_nobody_else_can_name(tmp_path: Path, sandbox: Sandbox) -> None:
    show = "import sys; print(open(sys.argv[2]).read())"
    command = replace(Command((sys.executable, "-c", show), 1, "x"), key_option="--key-file").with_key()
    started = spawn(command, tmp_path / "log", 2**20, sandbox)
    os.waitpid(started.leader.identity.pid, 0)
    os.close(started.leader.pidfd)
    assert command.key
    assert (tmp_path / "log").read_text() == f"{command.key}\n"
    assert command.key not in f"{command} {command.argv}"
    assert replace(command, key_option=None, key=None).with_key().key is None
