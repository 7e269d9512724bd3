"""What a command line becomes before it is sent: paths made absolute, profiles read, options named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from domain.machine.hardware import Hardware
from domain.serialization import from_json, to_json
from tests.conftest import ROOT
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon


@pytest.fixture
def planning(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    return daemon


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        pytest.param("./m.gguf", f"{ROOT}/m.gguf", id="below the working folder"),
        pytest.param("m.gguf", f"{ROOT}/m.gguf", id="in the working folder"),
        pytest.param("../m", f"{ROOT.parent}/m", id="beside the working folder"),
        pytest.param("tests/rigs/vllm", f"{ROOT}/tests/rigs/vllm", id="a folder of the working folder"),
        pytest.param(".cache/m", f"{ROOT}/.cache/m", id="a hidden folder"),
        pytest.param("hf.co/owner/repo", "hf.co/owner/repo", id="a repository with its host"),
        pytest.param("/m/a.gguf", "/m/a.gguf", id="absolute already"),
        pytest.param("smollm2-135m", "smollm2-135m", id="an alias"),
        pytest.param("owner/repo:Q8_0", "owner/repo:Q8_0", id="a repository"),
        pytest.param("https://h/m.gguf", "https://h/m.gguf", id="a URL"),
        pytest.param("pypi:a==1#b/c.gguf", "pypi:a==1#b/c.gguf", id="a wheel"),
    ],
)
def test_a_path_means_this_commands_folder_not_the_daemons(
    ctl: Ctl, planning: FakeDaemon, model: str, sent: str
) -> None:
    assert ctl("plan", model).returncode == 0
    assert planning.asked[0].body == {"model": sent}


def test_a_home_is_the_owners_not_the_daemons(ctl: Ctl, planning: FakeDaemon) -> None:
    ctl("plan", "~/m.gguf")
    assert planning.asked[0].body == {"model": f"{ctl.home}/m.gguf"}


def test_a_profile_is_sent_along(ctl: Ctl, planning: FakeDaemon, tmp_path: Path) -> None:
    profile = tmp_path / "box.json"
    profile.write_text(json.dumps(to_json(answers.BOX)))
    assert ctl("plan", "m", "--on", str(profile)).returncode == 0
    body = planning.asked[0].body
    assert isinstance(body, dict)
    assert from_json(Hardware, body["on"]) == replace(answers.BOX, name="box")


def test_an_unknown_profile_is_bad_usage(ctl: Ctl, planning: FakeDaemon) -> None:
    done = ctl("plan", "m", "--on", "no-such-box")
    assert done.returncode == 2
    assert "no-such-box" in done.stderr
    assert planning.asked == []


def test_files_of_an_engines_options_are_those_of_this_commands_folder(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/estimate", to_json(answers.ESTIMATE))
    options = ["-c", "4096", "-md", "d.gguf", "--mmproj=m.gguf", "-ot", "exps=CPU", "--mmproj", "/m.gguf"]
    assert ctl("estimate", "m", "--", *options).returncode == 0
    body = daemon.asked[0].body
    assert isinstance(body, dict)
    assert body["args"] == [
        *("-c", "4096", "-md", f"{ROOT}/d.gguf", "--mmproj", f"{ROOT}/m.gguf"),
        *("-ot", "exps=CPU", "--mmproj", "/m.gguf"),
    ]
