"""``node-ctl launch``: followed in a pipe and on a terminal, interrupted, failed, cut off."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from domain.launches.launch import Step
from domain.launches.plan import Confidence, Speed, SpeedSource
from domain.serialization import to_json
from domain.units import MIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import Terminal, terminal
from tests.fakes.daemon_server import Answer, FakeDaemon

SMOL = "/v1/launches/smol"
CTRL_C = b"\x03"

OnTerminal = Callable[..., AbstractContextManager[Terminal]]


@pytest.fixture
def launched(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon that takes the launch of ``smol`` and brings it up."""
    daemon.on("POST /v1/launches", Answer({"name": "smol", "created": True}, 202))
    daemon.on(f"GET {SMOL}/progress", Answer(lines=answers.TO_READY))
    daemon.on(f"GET {SMOL}", answers.DETAIL)
    return daemon


@pytest.fixture
def on_terminal(ctl: Ctl) -> OnTerminal:
    def start(*args: str, **env: str) -> AbstractContextManager[Terminal]:
        return terminal([*args], ctl.env | env)

    return start


def test_in_a_pipe_a_launch_is_one_line_a_step_and_the_result(ctl: Ctl, launched: FakeDaemon) -> None:
    done = ctl("launch", "smollm2-135m", "--name", "smol", "--context", "8192")
    assert (done.returncode, done.stderr) == (0, "")
    assert launched.asked[0].body == {"model": "smollm2-135m", "name": "smol", "context_tokens": 8192}
    lines = done.stdout.split("\n\n")[0].splitlines()
    steps = [line.split()[0] for line in lines if not line.startswith("download")]
    assert steps == ["resolve", "plan", "start", "ready"]
    moved = [line for line in lines if line.startswith("download")]
    assert len(moved) == 11, "the first line and one for each tenth"
    assert moved[0] == "download  0 MiB of 100 MiB (0 %), 50.0 MB/s, 2.0 s left"
    assert "(100 %)" in moved[-1]
    assert "\x1b" not in done.stdout


def test_the_result_is_the_plan_measured_speed_and_a_request(ctl: Ctl, launched: FakeDaemon) -> None:
    out = ctl("launch", "smollm2-135m").stdout
    assert "model     smollm2-135m, Q4_1, 94 MiB" in out
    assert "measured  91 tokens/s at the start (within the 70 to 101 expected), loaded in 0.8 s" in out
    assert "reused    the weights on the disk; the thread count measured before" in out
    assert "endpoint  http://127.0.0.1:18100/v1" in out
    assert "curl -s http://127.0.0.1:18100/v1/chat/completions -H 'Content-Type: application/json' -d" in out


def test_with_json_progress_goes_to_standard_error(ctl: Ctl, launched: FakeDaemon) -> None:
    done = ctl("launch", "smollm2-135m", "--json")
    assert json.loads(done.stdout) == answers.DETAIL
    assert done.stderr.splitlines()[0].startswith("resolve")


def test_a_model_that_is_served_already_shows_no_progress(ctl: Ctl, launched: FakeDaemon) -> None:
    launched.on("POST /v1/launches", Answer({"name": "smol", "created": False}, 200))
    done = ctl("launch", "smollm2-135m")
    assert (done.returncode, done.stderr) == (0, "smol is already served with the same options\n")
    assert "(pid 4711)" in done.stdout.partition("reused    the engine that has served it for ")[2]
    assert "download" not in done.stdout


def test_a_launch_that_is_on_its_way_is_joined(ctl: Ctl, launched: FakeDaemon) -> None:
    launched.on("POST /v1/launches", Answer({"name": "smol", "created": False}, 200))
    starting = answers.DETAIL | {"launch": answers.DETAIL["launch"] | {"state": "starting"}}
    launched.on(f"GET {SMOL}", starting)
    out = ctl("launch", "smollm2-135m").stdout
    assert "ready     ready after 1.2 s" in out
    assert "has served it for" not in out, "it did not serve when it was asked for"
    assert "reused    the weights on the disk" in out


def test_threads_are_measured_again_where_that_is_asked_for(ctl: Ctl, launched: FakeDaemon) -> None:
    assert ctl("launch", "smollm2-135m", "--retune").returncode == 0
    assert launched.asked[0].body == {"model": "smollm2-135m", "retune": True}


def test_without_waiting_it_says_how_to_see_it(ctl: Ctl, launched: FakeDaemon) -> None:
    done = ctl("launch", "smollm2-135m", "--no-wait")
    assert done.stdout == "launching smol\nwatch it with: node-ctl ps, node-ctl logs smol, node-ctl events\n"
    assert [asked.path for asked in launched.asked] == ["/v1/launches"]


@pytest.mark.parametrize(
    ("code", "status"), [("engine_failed", 6), ("download_failed", 7), ("does_not_fit", 4), ("failed", 1)]
)
def test_a_launch_that_fails_tells_the_daemons_error_once(
    ctl: Ctl, launched: FakeDaemon, code: str, status: int
) -> None:
    failed = answers.line(Step.FAILED, "out of memory: 12 GiB", code=code, hint="ask for less")
    launched.on(f"GET {SMOL}/progress", Answer(lines=(*answers.TO_READY[:2], failed)))
    done = ctl("launch", "smollm2-135m", "--json")
    assert done.returncode == status
    assert json.loads(done.stdout)["error"]["code"] == code
    assert done.stderr.count("out of memory: 12 GiB") == 1
    assert done.stderr.endswith("node-ctl: out of memory: 12 GiB\nhint: ask for less\n")


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (91.3, "91 tokens/s at the start (within the 70 to 101 expected)"),
        (20.0, "20 tokens/s at the start (less than the 70 to 101 expected: other work may slow it)"),
        (200.0, "200 tokens/s at the start (more than the 70 to 101 expected)"),
        (None, "? tokens/s at the start"),
    ],
)
def test_a_measured_speed_is_told_beside_the_expected_one(
    ctl: Ctl, launched: FakeDaemon, measured: float | None, shown: str
) -> None:
    figures = answers.DETAIL["measured"] | {"decode_tokens_per_s": measured}
    launched.on(f"GET {SMOL}", answers.DETAIL | {"measured": figures})
    assert f"measured  {shown}, loaded in 0.8 s, answered 'Paris'\n" in ctl("launch", "smollm2-135m").stdout


@pytest.mark.parametrize(
    ("confidence", "speed", "marks"),
    [
        (Confidence.ESTIMATED, answers.SPEED, ["estimated"]),
        (
            Confidence.ENGINE_CHECKED,
            replace(answers.SPEED, decode_source=SpeedSource.CORRECTED),
            ["engine-checked", "from other runs", "estimated"],
        ),
        (
            Confidence.MEASURED,
            replace(answers.SPEED, decode_source=SpeedSource.MEASURED, prefill_source=SpeedSource.MEASURED),
            ["measured", "from its runs"],
        ),
        (Confidence.MEASURED, Speed(), ["measured"]),
    ],
)
def test_the_legend_explains_every_mark_that_is_shown_and_no_other(
    ctl: Ctl, launched: FakeDaemon, confidence: Confidence, speed: Speed, marks: list[str]
) -> None:
    plan = replace(answers.PLAN, confidence=confidence, speed=speed)
    launched.on(f"GET {SMOL}", answers.DETAIL | {"plan": to_json(plan)})
    out = ctl("launch", "smollm2-135m").stdout
    legend = next(line for line in out.splitlines() if line.startswith("legend    "))
    assert re.findall(r"\[([a-z -]+)\]", legend) == marks
    above = out.partition("legend")[0]
    assert set(re.findall(r"\[([a-z -]+)\]", above)) - {"estimated"} == set(marks) - {"estimated"}
    assert ("(a to b)" in legend) == (speed.decode_tokens_per_s is not None)


def test_the_load_time_of_an_adopted_engine_is_unknown(ctl: Ctl, launched: FakeDaemon) -> None:
    measured = answers.DETAIL["measured"] | {"load_s": None}
    launched.on(f"GET {SMOL}", answers.DETAIL | {"measured": measured})
    out = ctl("launch", "smollm2-135m").stdout
    assert "measured  91 tokens/s at the start (within the 70 to 101 expected), answered 'Paris'" in out


def test_a_launch_that_fails_tells_what_the_engine_said(ctl: Ctl, launched: FakeDaemon) -> None:
    failed = answers.line(Step.FAILED, "it exited 3", code="engine_failed", line="main: out of plutonium")
    launched.on(f"GET {SMOL}/progress", Answer(lines=(*answers.TO_READY[:2], failed)))
    done = ctl("launch", "smollm2-135m", "--json")
    assert json.loads(done.stdout)["error"]["line"] == "main: out of plutonium"
    assert "node-ctl: it exited 3\nengine output: main: out of plutonium\nhint: " in done.stderr


def test_a_launch_that_is_stopped_has_failed(ctl: Ctl, launched: FakeDaemon) -> None:
    stopped = answers.line(Step.STOPPED, "stopped")
    launched.on(f"GET {SMOL}/progress", Answer(lines=(stopped,)))
    done = ctl("launch", "smollm2-135m")
    assert done.returncode == 1
    assert "smol was stopped before it was ready" in done.stderr


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "ended"])
def test_a_daemon_that_dies_during_a_launch_is_5(ctl: Ctl, launched: FakeDaemon, cut: bool) -> None:
    launched.on(f"GET {SMOL}/progress", Answer(lines=answers.TO_READY[:2], cut=cut))
    done = ctl("launch", "smollm2-135m")
    assert done.returncode == 5
    assert "lost the connection to node-daemon while it launched smol" in done.stderr


def test_on_a_terminal_steps_are_checked_off_and_the_download_is_a_bar(
    launched: FakeDaemon, on_terminal: OnTerminal
) -> None:
    half = (*answers.TO_READY[:2], answers.download(50 * MIB))
    launched.on(f"GET {SMOL}/progress", Answer(lines=half, open_after=True))
    with on_terminal("launch", "smollm2-135m") as screen:
        screen.until("50 MiB of 100 MiB (50 %), 50.0 MB/s, 2.0 s left")
    assert "✓" in screen.screen
    assert "━━━" in screen.screen


def test_on_a_terminal_the_end_stays_on_the_screen(launched: FakeDaemon, on_terminal: OnTerminal) -> None:
    with on_terminal("launch", "smollm2-135m") as screen:
        assert screen.ended() == 0
    assert "ready after 1.2 s" in screen.screen
    assert screen.screen.index("ready after 1.2 s") < screen.screen.index("measured  91 tokens/s")
    assert screen.screen.rindex("\x1b[?25h") > screen.screen.rindex("\x1b[?25l"), "the cursor is back"


def test_on_a_terminal_the_step_that_failed_is_crossed_and_the_error_told_once(
    launched: FakeDaemon, on_terminal: OnTerminal
) -> None:
    failed = answers.line(Step.FAILED, "out of memory: 12 GiB", code="engine_failed")
    launched.on(f"GET {SMOL}/progress", Answer(lines=(*answers.TO_READY[:2], failed)))
    with on_terminal("launch", "smollm2-135m") as screen:
        assert screen.ended() == 6
    assert "✗" in screen.screen
    assert screen.screen.count("out of memory: 12 GiB") == 1


def test_no_color_is_honoured(launched: FakeDaemon, on_terminal: OnTerminal) -> None:
    with on_terminal("launch", "smollm2-135m", NO_COLOR="1") as screen:
        assert screen.ended() == 0
    assert "\x1b[32m" not in screen.screen


def test_ctrl_c_leaves_the_launch_going_and_says_how_to_see_it(
    launched: FakeDaemon, on_terminal: OnTerminal
) -> None:
    launched.on(f"GET {SMOL}/progress", Answer(lines=answers.TO_READY[:2], open_after=True))
    with on_terminal("launch", "smollm2-135m") as screen:
        screen.until("8192 tokens")
        screen.press(CTRL_C)
        assert screen.ended() == 130
    says = "the launch continues in the daemon: node-ctl ps, node-ctl logs smol, node-ctl stop smol"
    assert says in screen.screen
    assert "Traceback" not in screen.screen
    assert [asked.method for asked in launched.asked] == ["POST", "GET"], "nothing was stopped"


def test_ctrl_c_elsewhere_is_130_without_a_traceback(daemon: FakeDaemon, on_terminal: OnTerminal) -> None:
    daemon.on(f"GET {SMOL}/log", Answer(lines=("loading \x1b]0;evil\x07 done",), open_after=True))
    with on_terminal("logs", "smol", "-f") as screen:
        screen.until("done")
        screen.press(CTRL_C)
        assert screen.ended() == 130
    assert "Traceback" not in screen.screen
    assert "\x1b]0;" not in screen.screen, "an engine's output does not steer the terminal"
