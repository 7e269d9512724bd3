"""node-ctl config: what is wrong with the settings file, and which settings are in force."""

import json
from pathlib import Path

import pytest

from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon

SETTINGS = {
    "file": "/etc/node-daemon/config.toml",
    "settings": [
        {"name": "models_dir", "value": "/srv/models", "origin": "/etc/node-daemon/config.toml"},
        {"name": "hub_token", "value": "********", "origin": "environment"},
        {"name": "vllm", "value": None, "origin": "default"},
    ],
    "problems": [
        {"origin": "/etc/node-daemon/config.toml", "line": 3, "key": "x", "message": "no", "hint": ""}
    ],
}


@pytest.fixture
def file(ctl: Ctl) -> Path:
    path = ctl.home / ".config/node-daemon/config.toml"
    path.parent.mkdir(parents=True)
    return path


def test_check_lists_every_problem_with_its_line_and_what_is_near(ctl: Ctl, file: Path) -> None:
    file.write_text("modles_dir = '/m'\ndisk_low_bytes = '4 gallons'\n")
    done = ctl("config", "check", NODE_DAEMON_OFLINE="1")
    assert done.returncode == 2
    expected = "a size such as 4 GB, 4 GiB or 500 MB (leave it out for the default, 5.0 GiB)"
    assert done.stdout.splitlines() == [
        f"{file}:1: unknown setting 'modles_dir' (did you mean models_dir?)",
        f'{file}:2: disk_low_bytes = "4 gallons": expected {expected}',
        "environment: unknown setting 'NODE_DAEMON_OFLINE' (did you mean NODE_DAEMON_OFFLINE?)",
    ]


def test_check_of_a_valid_file_and_of_none(ctl: Ctl, file: Path) -> None:
    places = f"{file} or /etc/node-daemon/config.toml"
    assert ctl("config", "check").stdout == f"no settings file at {places}: the defaults are used\n"
    file.write_text("disk_low_bytes = '4 GB'\n")
    done = ctl("config", "check")
    assert (done.returncode, done.stdout) == (0, f"{file}: valid\n")


def test_check_as_json_names_the_file_that_was_given(ctl: Ctl, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("offline = maybe\n")
    done = ctl("config", "check", str(other), "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["file"] == str(other)
    assert [(one["origin"], one["line"], one["key"]) for one in told["problems"]] == [(str(other), 1, None)]


def test_show_without_a_daemon_tells_value_and_origin(ctl: Ctl, file: Path) -> None:
    file.write_text("models_dir = '/srv/models'\nhub_token = 'hf_secret'\n")
    done = ctl("config", "show", NODE_DAEMON_RESTART_LOOP="3")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == f"# no node-daemon is running; one would start with these settings ({file})"
    assert f'models_dir = "/srv/models" # {file}' in lines
    assert "restart_loop = 3 # environment" in lines
    assert f'hub_token = "********" # {file}' in lines
    assert "# vllm is not set # default" in lines
    assert "hf_secret" not in done.stdout + done.stderr


def test_show_is_of_the_running_daemon_and_says_what_it_did_not_use(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/settings", SETTINGS)
    done = ctl("config", "show")
    assert done.returncode == 0
    assert done.stdout.startswith("# settings of the node-daemon at ")
    assert "node-ctl: not used: /etc/node-daemon/config.toml:3: no" in done.stderr
    told = json.loads(ctl("config", "show", "--json").stdout)
    assert told == {"daemon": ctl.env["NODE_DAEMON_SOCKET"], **SETTINGS}
