"""Standard output and error that are closed, full, or left by their reader: no traceback."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctl.main import COMMANDS
from tests.rigs.forked import WITHIN_S

PROGRAM = str(Path(sys.executable).with_name("node-ctl"))
SINKS = {
    "full": ">/dev/full",
    "closed": ">&-",
    "no error either": ">&- 2>&-",
    "full, error too": ">/dev/full 2>/dev/full",
    "closed error": "2>&-",
}


def run(tmp_path: Path, arguments: str, sink: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "NODE_DAEMON_STATE_DIR": str(tmp_path),
        "NODE_DAEMON_SOCKET": str(tmp_path / "none"),
    }
    command = ["sh", "-c", f"{PROGRAM} {arguments} {sink}"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WITHIN_S, check=False)


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
def test_help_into_a_place_that_takes_nothing(tmp_path: Path, sink: str) -> None:
    done = run(tmp_path, "--help", sink)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if sink == "2>&-":
        assert (done.returncode, done.stdout[:15]) == (0, "Usage: node-ctl")
    else:
        assert done.returncode == 1
    if "2>" not in sink:
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("node-ctl: the output can't be written: ")


@pytest.mark.parametrize("sink", [SINKS["full"], SINKS["closed"]])
def test_an_error_as_json_into_such_a_place_is_one_line_too(tmp_path: Path, sink: str) -> None:
    done = run(tmp_path, "ps --json", sink)
    assert done.returncode == 1
    assert "node-ctl: the output can't be written: " in done.stderr


def test_a_reader_that_leaves_early_and_a_pipe_of_one_page(tmp_path: Path) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    child = subprocess.Popen([PROGRAM, "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert os.read(read, 5) == b"Usage"
    os.close(read)
    _, error = child.communicate(timeout=WITHIN_S)
    assert error == ""
    assert child.returncode in (0, 1)  # by whether all was written before


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback(tmp_path: Path, command: str) -> None:
    for sink in (SINKS["full"], SINKS["no error either"]):
        for options in ("--help", "--json"):
            done = run(tmp_path, f"{command} {options}", f"{sink} </dev/null")
            assert "Traceback" not in done.stderr, (options, sink, done.stderr)
            assert "Exception" not in done.stderr, (options, sink, done.stderr)
    run(tmp_path, "shutdown", "</dev/null")  # of the daemon that some commands start
