"""The small parts: ports on the loopback, logs of a bounded size, what /proc says."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import BusyError
from domain.serialization import from_json, to_json
from launchers import ports
from launchers.command import Command, StopPolicy
from launchers.process import logfile, procfs


def test_the_lowest_free_port_is_given_and_a_full_range_refused(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free(port)
        assert ports.free_port(port, port + 50) > port
        with pytest.raises(BusyError, match=f"between {port} and {port}"):
            ports.free_port(port, port)
    assert ports.free_port(port, port + 50) == port
    assert ports.free_port(port, port + 50, taken={port}) > port


def test_a_log_past_its_limit_moves_aside_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "engine.log"
    descriptor, start = logfile.open_log(path, limit_bytes=100)
    os.write(descriptor, b"old line\n" * 20)
    assert logfile.bound(path, 100)
    os.write(descriptor, b"new line\n")
    os.close(descriptor)
    assert start == 0
    assert path.read_text() == "new line\n"
    assert path.with_name("engine.log.1").stat().st_size == 100
    assert not logfile.bound(path, 100)


def test_a_tail_begins_with_this_run_and_survives_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("earlier run\n")
    descriptor, start = logfile.open_log(path)
    os.write(descriptor, "this run: caf\u00e9\n".encode() + b"\xff\n")
    os.close(descriptor)
    assert logfile.tail(path, since=start) == "this run: caf\u00e9\n\ufffd\n"
    assert logfile.tail(path, since=10_000).startswith("earlier run")
    assert logfile.tail(path, limit_bytes=2) == "\ufffd\n"
    assert logfile.head(path, limit_bytes=7) == "earlier"
    assert logfile.tail(tmp_path / "absent") == ""


def test_a_process_is_known_by_its_start_and_its_session() -> None:
    argv = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, **pipes, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()  # the kernel shows the command line a moment after Popen returns
        who = procfs.identity(child.pid)
        assert who is not None
        assert who.pid == child.pid
        assert procfs.members(child.pid) == (child.pid,)
        assert procfs.runs(child.pid, argv)
        assert not procfs.runs(child.pid, [sys.executable, "-c", "other"])
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert procfs.identity(child.pid) is None  # dead, and not yet reaped
        assert procfs.members(child.pid) == ()
    assert procfs.argv(child.pid) == ()


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        pytest.param("0::/box/engine\n", "box/engine/memory.events", "oom 3\noom_kill 2\n", id="v2"),
        pytest.param(
            "5:memory:/box\n0::/\n", "memory/box/memory.oom_control", "under_oom 0\noom_kill 2\n", id="v1"
        ),
        pytest.param("0::/of/the/host\n", "memory.events", "oom_kill 2\n", id="v2 seen from a container"),
    ],
)
def test_oom_kills_are_counted_in_the_cgroup_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, file: str, content: str
) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path / "proc")
    monkeypatch.setattr(procfs, "CGROUPS", tmp_path / "cgroup")
    for path, text in ((tmp_path / "proc" / "7" / "cgroup", groups), (tmp_path / "cgroup" / file, content)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    counter = procfs.oom_counter(7)
    assert counter is not None
    assert procfs.oom_kills(counter) == 2
    counter.write_text("no counter here")
    assert procfs.oom_kills(counter) is None
    assert procfs.oom_counter(8) is None


def test_a_command_goes_through_json_and_back() -> None:
    command = Command(
        ("/bin/engine", "--port", "1"), 1, "m", {"A": "b"}, stop=StopPolicy(shared_memory=("x*",))
    )
    assert from_json(Command, to_json(command)) == command
