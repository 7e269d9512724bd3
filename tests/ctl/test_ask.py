"""``node-ctl ask``, against a child that answers like llama-server."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from domain.launches.launch import LaunchState
from domain.serialization import to_json
from tests.conftest import ROOT
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.fakes.conversation import ConversationEngine
from tests.fakes.daemon_server import FakeDaemon
from tests.rigs import lent_ports

CAPITAL = "The capital of France is Paris."
SERVE = ROOT / "tests" / "fakes" / "engine_server.py"

Serving = Callable[..., None]


def wait_for(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")


@pytest.fixture
def serving(daemon: FakeDaemon) -> Iterator[Serving]:
    """Call it to have ``smol`` served by a child with these options."""
    children = []

    def start(*options: str) -> None:
        port = lent_ports.free()
        argv = [sys.executable, str(SERVE), "--port", str(port), "--alias", "smol", *options]
        children.append(subprocess.Popen(argv, cwd=ROOT))
        row = replace(answers.ROW, endpoint=f"http://127.0.0.1:{port}")
        daemon.on("GET /v1/launches/smol", answers.DETAIL | {"launch": to_json(row)})
        daemon.on("GET /v1/launches", [to_json(row), to_json(answers.FAILED_ROW)])
        wait_for(f"http://127.0.0.1:{port}/health")

    yield start
    for child in children:
        child.kill()
        child.wait()


def test_the_answer_is_alone_on_standard_output_its_speed_beside_it(ctl: Ctl, serving: Serving) -> None:
    serving()
    done = ctl("ask", "smol", "Name the capital of France.")
    assert (done.returncode, done.stdout) == (0, f"{CAPITAL}\n")
    assert done.stderr == "[8 tokens, 93 tokens/s]\n"


def test_a_name_without_a_question_is_bad_usage(ctl: Ctl, serving: Serving) -> None:
    serving()
    done = ctl("ask", "smol")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the question to smol is missing" in done.stderr


def test_with_one_model_ready_its_name_may_be_left_out(ctl: Ctl, serving: Serving) -> None:
    serving()
    done = ctl("ask", "Name the capital of France.", "--json")
    assert json.loads(done.stdout) == {
        "launch": "smol",
        "answer": CAPITAL,
        "tokens": 8,
        "tokens_per_s": pytest.approx(93.27, abs=0.01),
        "finish_reason": "stop",
    }


@pytest.mark.parametrize(
    ("words", "stdin", "question"),
    [
        pytest.param(
            ["smol", "Summarise this."], b"a\nb\n", "a\nb\n\nSummarise this.", id="before a question"
        ),
        pytest.param(["smol", "-"], b"a question\n", "a question", id="a dash is the question"),
        pytest.param(["-"], b"a question\n", "a question", id="a dash without a name"),
        pytest.param(["smol"], b"a question\n", "a question", id="a name alone"),
        pytest.param(["smol", "Why?"], b"", "Why?", id="an empty pipe"),
    ],
)
def test_standard_input_is_asked_about(
    ctl: Ctl, daemon: FakeDaemon, engine: ConversationEngine, words: list[str], stdin: bytes, question: str
) -> None:
    assert ctl("ask", *words, stdin=stdin).returncode == 0
    assert engine.said == [[question]]


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        pytest.param(b"x" * (4 * 2**20 + 1), "standard input is longer than 4 MiB", id="too long"),
        pytest.param(b"caf\xe9", "standard input is not text in UTF-8: byte 0xe9 at 3", id="not UTF-8"),
        pytest.param(b"\n", "the question on standard input is empty", id="empty"),
    ],
)
def test_standard_input_that_can_not_be_asked_is_bad_usage(
    ctl: Ctl, serving: Serving, stdin: bytes, says: str
) -> None:
    serving()
    done = ctl("ask", "smol", "-", stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_without_the_engines_own_figure_the_rate_is_measured_here(ctl: Ctl, serving: Serving) -> None:
    serving("--no-timings")
    rate = json.loads(ctl("ask", "smol", "?", "--json").stdout)["tokens_per_s"]
    assert rate > 0


def test_an_engine_that_refuses_is_6_in_its_own_words(ctl: Ctl, serving: Serving) -> None:
    serving("--no-template")
    done = ctl("ask", "smol", "?")
    assert done.returncode == 6
    assert done.stderr.startswith("node-ctl: the engine refused: no chat template\n")


def test_an_engine_that_is_gone_is_6(ctl: Ctl, daemon: FakeDaemon) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen: a connection to it is refused
        row = replace(answers.ROW, endpoint=f"http://127.0.0.1:{held.getsockname()[1]}")
        daemon.on("GET /v1/launches/smol", answers.DETAIL | {"launch": to_json(row)})
        done = ctl("ask", "smol", "?")
    assert done.returncode == 6
    assert "the connection to the engine" in done.stderr


def test_an_answer_that_breaks_off_is_6_after_what_came(ctl: Ctl, engine: ConversationEngine) -> None:
    done = ctl("ask", "smol", "break off")
    assert (done.returncode, done.stdout.rstrip()) == (6, "1 é")
    assert "broke: the answer has no end" in done.stderr


@pytest.mark.parametrize(
    ("rows", "status", "says"),
    [
        pytest.param([], 1, "no model is ready", id="none is ready"),
        pytest.param(
            [answers.ROW, replace(answers.ROW, name="other")], 2, "smol, other", id="two are ready: which one"
        ),
    ],
)
def test_without_a_name_only_one_may_be_ready(
    ctl: Ctl, daemon: FakeDaemon, rows: list[object], status: int, says: str
) -> None:
    daemon.on("GET /v1/launches", to_json(rows))
    done = ctl("ask", "?")
    assert done.returncode == status
    assert says in done.stderr


def test_a_launch_that_is_not_ready_says_why(ctl: Ctl, daemon: FakeDaemon) -> None:
    row = replace(answers.FAILED_ROW, state=LaunchState.FAILED)
    daemon.on("GET /v1/launches/big", answers.DETAIL | {"launch": to_json(row)})
    done = ctl("ask", "big", "?")
    assert done.returncode == 1
    assert "big is failed: out of memory on GPU0" in done.stderr
