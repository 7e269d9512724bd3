"""node-ctl doctor: what it shows, when it fails, what it writes, and what it does where no daemon answers."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import FakeDaemon, refusal

ERROR = {**answers.CHECKS[0], "status": "error"}
TEXT = "# node-daemon report\n\nall of it\n"


def test_problems_come_first_and_what_is_well_is_one_line(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/doctor", [answers.CHECKS[1], answers.CHECKS[2], answers.CHECKS[0]])
    done = ctl("doctor")
    assert done.stdout.splitlines() == [
        "warning    memlock  8 MiB",
        "                    why: mlock needs more",
        "                    fix: ulimit -l",
        "                    then: node-ctl doctor --check memlock",
        "not known  clock    nobody may ask",
        "ok         disk     200 GiB free",
        "not asked  hub      node-ctl doctor --hub checks it",
        "1 warning, 1 not known, 1 ok",
    ]


@pytest.mark.parametrize(
    ("found", "status"), [([ERROR], 1), (answers.CHECKS, 0), ([answers.CHECKS[1]], 0), ([], 0)]
)
def test_it_fails_on_an_error_alone(ctl: Ctl, daemon: FakeDaemon, found: list[Any], status: int) -> None:
    daemon.on("GET /v1/doctor", found)
    assert ctl("doctor").returncode == status
    done = ctl("doctor", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (status, found)


def test_it_says_so_when_all_is_well_and_when_a_check_has_nothing_to_look_at(
    ctl: Ctl, daemon: FakeDaemon
) -> None:
    daemon.on("GET /v1/doctor", [answers.CHECKS[1]])
    assert ctl("doctor").stdout.splitlines()[-1] == "no problems found"
    assert "not asked" not in ctl("doctor", "--hub").stdout + ctl("doctor", "--check", "clock").stdout
    daemon.on("GET /v1/doctor", [])
    assert ctl("doctor", "--check", "rocm").stdout == "rocm: does not apply to this machine\n"


def test_the_daemon_is_told_what_is_asked_and_by_whom(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/doctor", [])
    ctl("doctor", "--check", "groups", "--hub")
    assert daemon.asked[-1].query == {"check": "groups", "hub": "true", "caller": str(os.getuid())}
    ctl("doctor", SUDO_UID="1000")
    assert daemon.asked[-1].query["caller"] == "1000", "root was only lent"


def test_a_check_that_does_not_exist_is_bad_usage(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/doctor", refusal("bad_usage", "no check is called 'x'", "there are: groups", 422))
    done = ctl("doctor", "--check", "x")
    assert (done.returncode, done.stderr) == (
        2,
        "node-ctl: no check is called 'x'\nhint: there are: groups\n",
    )


def test_long_words_are_wrapped_beside_the_check_on_a_terminal(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/doctor", [{**answers.CHECKS[0], "fix": "sudo " + "word " * 30}])
    env = {key: value for key, value in ctl.env.items() if key != "COLUMNS"} | {
        "NO_COLOR": "1",
        "TERM": "xterm",
    }
    with terminal(["doctor"], env, columns=60) as shown:
        assert shown.ended() == 0
    lines = [line.rstrip() for line in shown.screen.splitlines()]
    assert all(len(line) <= 60 for line in lines), lines
    assert sum(line.startswith(" " * 20) and "word" in line for line in lines) > 3


def test_a_report_is_written_beside_the_findings(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/doctor/report", {"findings": answers.CHECKS, "text": TEXT})
    file = ctl.home / "report.md"
    for _ in range(2):  # an earlier report is replaced
        done = ctl("doctor", "--report", str(file), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == answers.CHECKS
        assert done.stderr == f"wrote {file}: read it before you share it\n"
    assert file.read_text() == TEXT


def test_no_other_file_is_written_over(ctl: Ctl, daemon: FakeDaemon) -> None:
    file = ctl.home / "diary.md"
    file.write_text("dear diary")
    done = ctl("doctor", "--report", str(file))
    assert (done.returncode, file.read_text()) == (2, "dear diary")
    assert f"{file} exists and is not a report" in done.stderr
    assert ctl("doctor", "--report", str(ctl.home / "no" / "folder.md")).returncode == 2
    assert ctl("doctor", "--report", str(ctl.home)).returncode == 2
    assert ctl("doctor", "--report", str(ctl.home / "r.md"), "--check", "disk").returncode == 2
    assert daemon.asked == [], "nothing is examined for a report that can't be written"


def installed_and_silent(ctl: Ctl) -> Path:
    unit = ctl.sysroot / "etc/systemd/system/node-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    ctl.env["NODE_DAEMON_STATE_DIR"] = str(ctl.home / "state")
    return unit


def test_a_service_that_does_not_run_is_found_and_the_rest_is_looked_at(ctl: Ctl) -> None:
    installed_and_silent(ctl)
    done = ctl("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found[0]["check"], found[0]["status"]) == ("daemon", "error")
    assert "is installed as a service" in found[0]["found"]
    assert found[0]["fix"] == "start it with: sudo systemctl start node-daemon"
    assert {"engine", "disk", "problems"} <= {finding["check"] for finding in found}


def test_a_check_that_does_not_exist_is_bad_usage_without_a_daemon_too(ctl: Ctl) -> None:
    installed_and_silent(ctl)
    done = ctl("doctor", "--check", "grups")
    assert done.returncode == 2
    assert "no check is called 'grups'" in done.stderr


def test_a_report_needs_no_daemon(ctl: Ctl) -> None:
    installed_and_silent(ctl)
    file = ctl.home / "report.md"
    assert ctl("doctor", "--report", str(file)).returncode == 1
    assert "is installed as a service" in file.read_text()


def test_a_daemon_that_can_not_start_is_a_finding_with_its_reason(ctl: Ctl, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("modles_dir = '/m'\n")
    done = ctl("doctor", NODE_DAEMON_CONFIG=str(config))
    assert done.returncode == 1
    assert "unknown setting 'modles_dir'" in done.stdout
    assert "fix: did you mean models_dir?" in done.stdout
