"""``stop``, ``start`` and ``restart`` of several launches: each has its own outcome."""

import json
from dataclasses import replace

import pytest

from domain.launches.launch import LaunchState, Step
from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon, refusal

OTHER = replace(answers.ROW, name="other", state=LaunchState.STOPPED, endpoint=None)
STUCK = refusal("engine_failed", "process 7 is still there after SIGKILL", "see dmesg", status=502)


@pytest.fixture
def three(daemon: FakeDaemon) -> FakeDaemon:
    """smol is ready, big is failed and can't be stopped, other is stopped."""
    daemon.on("GET /v1/launches", to_json([answers.ROW, answers.FAILED_ROW, OTHER]))
    for name in ("smol", "other"):
        daemon.on(f"POST /v1/launches/{name}/stop", to_json(replace(OTHER, name=name)))
    daemon.on("POST /v1/launches/big/stop", STUCK)
    return daemon


def test_one_that_fails_does_not_keep_the_others(ctl: Ctl, three: FakeDaemon) -> None:
    done = ctl("stop", "smol", "big", "other", "smol")
    assert done.returncode == 6
    assert done.stdout == "smol is stopped\nother is stopped\n"
    assert done.stderr == "node-ctl: big: process 7 is still there after SIGKILL\nhint: see dmesg\n"
    assert sorted(asked.path for asked in three.asked) == [
        f"/v1/launches/{name}/stop" for name in ("big", "other", "smol")
    ]


def test_with_json_several_are_a_list_with_their_errors(ctl: Ctl, three: FakeDaemon) -> None:
    done = ctl("stop", "smol", "big", "--json")
    first, second = json.loads(done.stdout)
    assert done.returncode == 6
    assert (first["name"], first["state"]) == ("smol", "stopped")
    assert (second["name"], second["error"]["code"]) == ("big", "engine_failed")


@pytest.mark.parametrize(
    ("args", "stopped"),
    [(["--all"], {"smol", "big"}), (["--all", "--forget"], {"smol", "big", "other"})],
)
def test_all_are_those_that_it_means_something_for(
    ctl: Ctl, three: FakeDaemon, args: list[str], stopped: set[str]
) -> None:
    ctl("stop", *args)
    assert {asked.path.split("/")[3] for asked in three.asked if asked.method == "POST"} == stopped


@pytest.mark.parametrize("command", ["stop", "start", "restart"])
def test_names_or_all_must_be_given(ctl: Ctl, three: FakeDaemon, command: str) -> None:
    neither, both = ctl(command), ctl(command, "smol", "--all")
    assert (neither.returncode, both.returncode) == (2, 2)
    assert "no launch is named" in neither.stderr
    assert "give names or --all, not both" in both.stderr
    assert [asked for asked in three.asked if asked.method == "POST"] == []


def test_all_of_none_is_done(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", [])
    assert ctl("stop", "--all").returncode == 0
    assert json.loads(ctl("stop", "--all", "--json").stdout) == []


def test_several_starts_tell_their_steps_with_their_names(ctl: Ctl, three: FakeDaemon) -> None:
    for name in ("smol", "big"):
        three.on(f"POST /v1/launches/{name}/start", Answer({"name": name, "created": True}, 202))
    three.on("GET /v1/launches/smol/progress", Answer(lines=answers.TO_READY))
    three.on("GET /v1/launches/smol", answers.DETAIL)
    failed = answers.line(Step.FAILED, "out of memory", code="engine_failed")
    three.on("GET /v1/launches/big/progress", Answer(lines=(failed,)))
    done = ctl("start", "big", "smol")
    assert done.returncode == 6
    assert done.stdout == "smol is ready, 91 tokens/s, http://127.0.0.1:18100/v1\n"
    assert "smol: plan      Q4_1, 8192 tokens\n" in done.stderr
    assert "node-ctl: big: out of memory\nhint: see node-ctl logs big\n" in done.stderr


def test_one_start_is_shown_as_a_launch(ctl: Ctl, three: FakeDaemon) -> None:
    three.on("POST /v1/launches/smol/restart", Answer({"name": "smol", "created": True}, 202))
    three.on("GET /v1/launches/smol/progress", Answer(lines=answers.TO_READY))
    three.on("GET /v1/launches/smol", answers.DETAIL)
    done = ctl("restart", "smol")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ready     ready after 1.2 s" in done.stdout
    assert "endpoint  http://127.0.0.1:18100/v1" in done.stdout
    assert json.loads(ctl("restart", "smol", "--json").stdout) == answers.DETAIL
    assert ctl("restart", "smol", "--no-wait").stdout == "restarting smol\n"
