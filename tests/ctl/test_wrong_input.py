"""Slips of an owner's fingers are answered in the words of the command line, before a daemon is asked."""

from dataclasses import replace

import pytest

from domain.launches.launch import LaunchState
from domain.serialization import to_json
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.daemon_server import Answer, FakeDaemon


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param(
            "plan m --context 0", 2, "'0' is not a number of tokens such as 32768 or 32k", id="no context"
        ),
        pytest.param("plan m --context much", 2, "'much' is not a number of tokens", id="context in words"),
        pytest.param(f"plan m --context {'9' * 5000}", 2, "is not a number of tokens", id="endless context"),
        pytest.param("plan m --parallel 0", 2, "--parallel", id="no slot"),
        pytest.param("plan m --parallel 5000", 2, "--parallel", id="too many slots"),
        pytest.param("plan m --min-decode 0", 2, "--min-decode", id="no speed"),
        pytest.param("estimate m --gpus 100", 2, "--gpus", id="too many GPUs"),
        pytest.param("launch m --engine ollama", 2, "'llama.cpp', 'vllm'", id="another engine"),
        pytest.param("stop a/b", 1, "no launch is called 'a/b'", id="stop: a name with a slash"),
        pytest.param("logs a/b", 1, "no launch is called 'a/b'", id="logs: a name with a slash"),
        pytest.param("ask a/b hello", 1, "no launch is called 'a/b'", id="ask: a name with a slash"),
    ],
)
def test_bad_options_are_refused_without_the_daemon(
    ctl: Ctl, daemon: FakeDaemon, words: str, status: int, said: str
) -> None:
    done = ctl(*words.split())
    assert (done.returncode, daemon.asked) == (status, [])
    assert said in done.stderr
    assert "openapi" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["plan", ""], "the name of the model is empty", id="no model"),
        pytest.param(["compare", " "], "the name of the model is empty", id="a blank model"),
        pytest.param(["ask", "m", " "], "the question is empty", id="no question"),
    ],
)
def test_empty_arguments_are_refused_without_the_daemon(
    ctl: Ctl, daemon: FakeDaemon, words: list[str], said: str
) -> None:
    done = ctl(*words)
    assert (done.returncode, daemon.asked) == (2, [])
    assert said in done.stderr


@pytest.mark.parametrize(("asked", "sent"), [("32k", 32768), ("128K", 131072), ("8192", 8192)])
def test_a_context_may_be_given_in_k(ctl: Ctl, daemon: FakeDaemon, asked: str, sent: int) -> None:
    daemon.on("POST /v1/plan", to_json(answers.PLAN))
    assert ctl("plan", "m", "--context", asked).returncode == 0
    assert daemon.asked[0].body == {"model": "m", "context_tokens": sent}


@pytest.mark.parametrize(
    ("command", "route", "answer"),
    [
        (["plan"], "POST /v1/plan", to_json(answers.PLAN)),
        (["pull", "--no-wait"], "POST /v1/pulls", {"id": 3, "created": True}),
        (["launch", "--no-wait"], "POST /v1/launches", {"name": "m", "created": True}),
    ],
    ids=["plan", "pull", "launch"],
)
def test_a_quant_is_a_quality_that_is_named(
    ctl: Ctl, daemon: FakeDaemon, command: list[str], route: str, answer: object
) -> None:
    daemon.on(route, answer)
    done = ctl(*command, "m", "--quant", "Q8_0")
    assert done.returncode == 0, done.stderr
    assert daemon.asked[0].body == {"model": "m", "quality": "Q8_0"}
    both = ctl(*command, "m", "--quant", "Q8_0", "--quality", "best")
    assert both.returncode == 2
    assert "--quality and --quant exclude each other" in both.stderr
    assert len(daemon.asked) == 1


def test_a_model_that_is_starting_is_to_be_asked_later(ctl: Ctl, daemon: FakeDaemon) -> None:
    row = replace(answers.ROW, state=LaunchState.STARTING, endpoint=None)
    daemon.on("GET /v1/launches/smol", {**answers.DETAIL, "launch": to_json(row)})
    done = ctl("ask", "smol", "hi")
    assert done.returncode == 1
    assert "smol is starting" in done.stderr
    assert "hint: ask again when node-ctl ps shows it as ready" in done.stderr


def test_an_empty_log_is_noted_on_standard_error(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches/smol/log", Answer(lines=()))
    done = ctl("logs", "smol")
    assert (done.returncode, done.stdout) == (0, "")
    assert "the log of smol is empty: node-ctl ps shows its state" in done.stderr
    assert ctl("logs", "smol", "--lines", "0").stderr == ""


def test_a_state_directory_that_cannot_be_made_is_an_error(ctl: Ctl) -> None:
    (ctl.home / "file").write_text("")
    done = ctl("plan", "m", NODE_DAEMON_STATE_DIR=str(ctl.home / "file" / "state"))
    assert done.returncode == 1
    assert "file/state can't be written to: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_an_error(ctl: Ctl) -> None:
    (ctl.home / "state" / "node-daemon.log.1").mkdir(parents=True)
    (ctl.home / "state" / "node-daemon.log").write_text("")
    done = ctl("plan", "m", NODE_DAEMON_STATE_DIR=str(ctl.home / "state"))
    assert done.returncode == 1
    assert "state can't be written to: Is a directory" in done.stderr
    assert "Traceback" not in done.stderr
