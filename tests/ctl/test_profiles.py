"""node-ctl probe --save: what it writes, where it refuses, and files for --on that are none."""

import json
from pathlib import Path

import pytest

from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import FakeDaemon


@pytest.fixture
def saving(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on("GET /v1/profile", to_json(answers.BOX))
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    return daemon


def test_a_saved_machine_can_be_planned_for(ctl: Ctl, saving: FakeDaemon) -> None:
    file = ctl.home / "box.json"
    for _ in range(2):  # a profile is replaced by a newer one
        done = ctl("probe", "--save", str(file))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith(f"wrote {file}, with ")
    assert ctl("plan", "m", "--on", str(file)).returncode == 0
    sent = saving.asked[-1].body
    assert isinstance(sent, dict)
    assert sent["on"] == {**json.loads(file.read_text()), "name": answers.BOX.name or "box"}


def test_what_is_saved_is_printed_with_json(ctl: Ctl, saving: FakeDaemon) -> None:
    file = ctl.home / "box.json"
    done = ctl("probe", "--save", str(file), "--json")
    assert json.loads(done.stdout) == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("notes.json", '{"my": "notes"}', "exists and is not a profile", id="other JSON"),
        pytest.param("list.json", "[1, 2]", "exists and is not a profile", id="a list"),
        pytest.param("diary.txt", None, "does not end in .json", id="a name that --on would not find"),
        pytest.param("no/box.json", None, "can't be written: the directory", id="a folder that is not there"),
    ],
)
def test_no_other_file_is_written_over(
    ctl: Ctl, daemon: FakeDaemon, name: str, content: str | None, said: str
) -> None:
    file = ctl.home / name
    if content is not None:
        file.write_text(content)
    done = ctl("probe", "--save", str(file))
    assert (done.returncode, daemon.asked) == (2, [])
    assert said in done.stderr
    assert (file.read_text() if file.exists() else None) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b'{"memory": {', "Expecting", id="cut off"),
        pytest.param(b"\x7fELF\x02\xff\xfe", "can't decode", id="no text"),
        pytest.param(b"[]", "expected an object, found list", id="the output of ps"),
        pytest.param(b'{"error": {"code": "failed"}}', "has neither memory nor GPUs", id="an error"),
        pytest.param(b'{"engine": "llama.cpp", "memory": []}', "expected an object, found list", id="a plan"),
        pytest.param(b'{"memory": {"total_bytes": -1}}', "can't be -1", id="an impossible figure"),
        pytest.param(b'{"memory": {"total_bytes": 0}}', "can't be 0", id="unknown written as zero"),
        pytest.param(b"[" * 100_000, "cannot be used", id="nested without end"),
        pytest.param(b" " * (4 * 1024 * 1024 + 1), "more than 4194304 characters", id="far too long"),
    ],
)
def test_a_file_that_is_not_a_profile_is_refused(
    ctl: Ctl, daemon: FakeDaemon, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "box.json"
    file.write_bytes(content)
    done = ctl("plan", "m", "--on", str(file))
    assert (done.returncode, daemon.asked) == (2, [])
    assert f"the profile {file}" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_is_not_a_profile(ctl: Ctl, daemon: FakeDaemon, tmp_path: Path) -> None:
    done = ctl("plan", "m", "--on", f"{tmp_path}/")
    assert (done.returncode, daemon.asked) == (2, [])
    assert "Is a directory" in done.stderr
