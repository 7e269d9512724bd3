"""Which unit a process is in, by its control group. Real units: tests/systemd."""

import os
from pathlib import Path

import pytest

from domain.errors import EngineError
from launchers.command import Command
from launchers.process import procfs, unit
from launchers.process.spawn import spawn
from launchers.sandbox import unit_access
from launchers.sandbox.policy import Sandbox

ENGINES = "/system.slice/system-nodedaemon.slice"


@pytest.mark.parametrize(
    ("group", "found"),
    [
        (f"0::{ENGINES}/node-daemon-engine@qwen3-8b.service", "node-daemon-engine@qwen3-8b.service"),
        (f"1:name=systemd:{ENGINES}/node-daemon-engine@m.service", "node-daemon-engine@m.service"),
        ("0::/system.slice/node-daemon.service", "node-daemon.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/node-daemon.service", None),
        ("0::/system.slice/other-node-daemon.service", None),
        (f"0::{ENGINES}/node-daemon-engine@m.service/below", None),
        ("0::/", None),
    ],
)
def test_it_is_told_by_the_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, found: str | None
) -> None:
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(f"{group}\n")
    assert unit.of(7) == found
    assert unit.of(8) is None
    assert unit.of_engine(7) == (None if found == unit.SERVICE else found)


def test_where_there_is_no_unit_it_is_a_child_of_the_daemon_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unit_access, "why_not", lambda *_: None)

    def refuse(*_: object) -> None:
        raise EngineError("systemd does not start its unit: Access denied", hint="polkitd", cause="no_unit")

    monkeypatch.setattr(unit, "start", refuse)
    sandbox = Sandbox(tmp_path / "scratch", unit="m")
    started = spawn(Command(("/bin/echo", "runs"), 1, "m"), tmp_path / "log", 2**20, sandbox)
    os.waitpid(started.leader.identity.pid, 0)
    os.close(started.leader.pidfd)
    assert (tmp_path / "log").read_text() == "runs\n"
    assert started.leader.unit is None
    assert str(started.own_user_because) == "systemd does not start its unit: Access denied"
    assert "run by the daemon's own user: name=m" in caplog.text
