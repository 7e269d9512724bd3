"""A day with served models: real daemon, real llama-server, real weights, node-ctl alone."""

import json
from pathlib import Path

import pytest

from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal

CTRL_C, CTRL_D = b"\x03", b"\x04"


def rows(owner: Ctl) -> dict[str, tuple[str, int | None]]:
    return {
        row["name"]: (row["state"], row["context_tokens"]) for row in json.loads(owner("ps", "--json").stdout)
    }


@pytest.mark.engine
@pytest.mark.slow
def test_what_is_stopped_is_started_again_as_it_was_whatever_is_refused_meanwhile(
    owner: Ctl, smollm2: Path
) -> None:
    for name, context in (("one", "512"), ("two", "1024")):
        done = owner("launch", str(smollm2), "--name", name, "--context", context, "--quant", "Q4_1")
        assert done.returncode == 0, done.stderr
    stopped = owner("stop", "one", "none", "two")
    assert (stopped.returncode, stopped.stdout) == (1, "one is stopped\ntwo is stopped\n")
    assert "node-ctl: no launch is called 'none'" in stopped.stderr

    for refused, status in (
        (["launch", "one", "--context", "999999999"], 2),
        (["launch", "smolm2-135m", "--name", "one"], 3),
        (["launch", str(smollm2.with_name("none.gguf")), "--name", "two"], 3),
    ):
        assert owner(*refused).returncode == status
    assert rows(owner) == {"one": ("stopped", 512), "two": ("stopped", 1024)}
    assert owner("events", "-n", "1").stdout.split()[2] == "failed"

    both = owner("start", "--all")
    assert (both.returncode, both.stdout.count(" is ready, ")) == (0, 2), both.stderr
    assert rows(owner) == {"one": ("ready", 512), "two": ("ready", 1024)}
    shown = owner("show", "one").stdout
    assert f"asked for {smollm2} --context 512 --quality Q4_1\n" in shown
    assert "template  " in shown
    assert f"file      {smollm2}\n" in shown

    before = json.loads(owner("ps", "two", "--json").stdout)[0]
    assert owner("restart", "two").returncode == 0
    after = json.loads(owner("ps", "two", "--json").stdout)[0]
    assert (after["state"], after["endpoint"]) == ("ready", before["endpoint"])
    assert after["pid"] != before["pid"]

    assert owner("stop", "--all").returncode == 0
    assert owner("launch", "two").returncode == 0, "its name is enough"
    assert rows(owner) == {"one": ("stopped", 512), "two": ("ready", 1024)}


@pytest.mark.engine
@pytest.mark.slow
def test_a_chat_keeps_its_history_and_outlives_an_answer_that_is_stopped(owner: Ctl, smollm2: Path) -> None:
    launched = owner("launch", str(smollm2), "--name", "smol", "--context", "2048")
    assert launched.returncode == 0, launched.stderr
    with terminal(["run", "smol", "--temperature", "0"], owner.env) as screen:
        screen.until(">>> ")
        screen.press(b"Name the capital of Frence.\x1b[D\x1b[D\x1b[D\x1b[D\x7fa\n")  # edited: France
        screen.until("Paris")
        screen.until("tokens/s]")
        screen.press(b"Tell me a very long story about a fox.\n")
        screen.until_after("about a fox.", 60)  # more than what ends the line
        screen.press(CTRL_C)
        screen.until("[stopped]")
        screen.press(b"/clear\n")
        screen.until("the conversation is forgotten")
        screen.press(b"Name the capital of Italy.\n")
        screen.until("tokens/s]", after="Rome")
        screen.until(">>> ", after="Rome")
        screen.press(CTRL_D)
        assert screen.ended() == 0
    assert "Traceback" not in screen.screen
    asked = owner("ask", "smol", "-", stdin=b"Name the capital of France.")
    assert "Paris" in asked.stdout
    talked = owner("chat", "--json", "--temperature", "0", stdin=b"Name the capital of France.\n/bye\n")
    assert "Paris" in json.loads(talked.stdout)["answer"]
