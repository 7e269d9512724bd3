"""The small parts: ports on the loopback, logs of a bounded size."""

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
from launchers.process import logfile
from tests.conftest import ROOT
from tests.rigs import lent_ports


def test_the_lowest_free_port_is_given_and_a_full_range_refused(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free(port)
        assert ports.free_port(port, port + 50) > port
        with pytest.raises(BusyError, match=f"between {port} and {port}"):
            ports.free_port(port, port)
    assert ports.free_port(port, port + 50) == port
    assert ports.free_port(port, port + 50, taken={port}) > port


def test_two_runs_of_tests_at_the_same_time_have_different_ports() -> None:
    ours = lent_ports.block()
    argv = [sys.executable, "-c", "from tests.rigs import lent_ports; print(lent_ports.block()[0])"]
    theirs = int(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert theirs not in ours
    assert lent_ports.free() in ours


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


def test_a_tail_begins_with_this_run_and_survives_truncation(tmp_path: Path) -> None:
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


def test_a_command_goes_through_json_and_back() -> None:
    command = Command(
        ("/bin/engine", "--port", "1"), 1, "m", {"A": "b"}, stop=StopPolicy(shared_memory=("x*",))
    )
    assert from_json(Command, to_json(command)) == command
