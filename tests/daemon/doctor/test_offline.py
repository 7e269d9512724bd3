"""The doctor without a daemon: a child of the command that changes nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.conftest import ROOT
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "NODE_DAEMON_STATE_DIR": str(tmp_path / "state"),
        "NODE_DAEMON_OFFLINE": "1",
    }


def run_doctor(env: dict[str, str], *args: str) -> Any:
    argv = [
        sys.executable,
        "-m",
        "daemon.doctor.offline",
        "--reason",
        "no node-daemon is running",
        "--hint",
        "start it",
    ]
    done = subprocess.run([*argv, *args], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_it_says_first_that_no_daemon_answers(home: dict[str, str]) -> None:
    answer = run_doctor(home, "--report")
    first = answer["findings"][0]
    assert (first["check"], first["status"], first["fix"]) == ("daemon", "error", "start it")
    assert {"engine", "memory", "disk"} <= {finding["check"] for finding in answer["findings"]}
    assert "no node-daemon is running" in answer["text"]
    assert not Path(home["NODE_DAEMON_STATE_DIR"]).exists(), "nothing is created"


async def test_it_reads_the_launches_of_the_last_daemon_from_a_copy(
    daemon: Running, settings: Settings, smollm2: Path, home: dict[str, str]
) -> None:
    async with daemon(fake_adapters(settings, FakeLauncher())) as api:
        await api.launched(smollm2, name="tiny")
    before = sorted(path.name for path in settings.state_dir.iterdir())
    (finding,) = run_doctor(home, "--check", "launches")["findings"]
    assert (finding["status"], finding["found"]) == (
        "not_known",
        "the state of tiny: no daemon supervises it",
    )
    assert sorted(path.name for path in settings.state_dir.iterdir()) == before


def test_a_state_that_is_no_database_is_not_known(home: dict[str, str]) -> None:
    state = Path(home["NODE_DAEMON_STATE_DIR"])
    state.mkdir()
    (state / "state.db").write_text("no database at all, but long enough to look like one" * 100)
    (finding,) = run_doctor(home, "--check", "launches")["findings"]
    assert finding["status"] == "not_known"


def test_settings_that_can_not_be_read_are_why_no_daemon_starts(home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("modles_dir = '/m'\n")
    answer = run_doctor({**home, "NODE_DAEMON_CONFIG": str(config)}, "--report")
    (finding,) = answer["findings"]
    assert "unknown setting 'modles_dir'" in answer["text"]
    assert finding["check"] == "daemon"
    assert "unknown setting 'modles_dir'" in finding["found"]
    assert finding["fix"] == "did you mean models_dir?"


def test_an_unknown_check_is_refused(home: dict[str, str]) -> None:
    assert "no check is called 'grups'" in run_doctor(home, "--check", "grups")["error"]["message"]
