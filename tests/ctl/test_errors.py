"""Every error of the daemon ends in its exit status, a line and a hint; with --json in an object, too."""

import json
import socket

import pytest

from ctl.exit_codes import EXIT_STATUS
from domain import errors
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import Answer, FakeDaemon, refusal


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        pytest.param("failed", 500, 1, id="failed"),
        pytest.param("from_a_newer_daemon", 500, 1, id="a code that is not known here: failed"),
        pytest.param("busy", 423, 1, id="busy: failed"),
        pytest.param("bad_model", 422, 1, id="no usable model file: failed"),
        pytest.param("unknown_launch", 404, 1, id="no such launch: failed"),
        pytest.param("bad_usage", 422, 2, id="bad usage"),
        pytest.param("bad_config", 400, 2, id="bad settings"),
        pytest.param("unknown_model", 404, 3, id="unknown model"),
        pytest.param("does_not_fit", 409, 4, id="does not fit"),
        pytest.param("engine_failed", 502, 6, id="engine failed"),
        pytest.param("download_failed", 502, 7, id="download failed"),
        pytest.param("disk_full", 507, 7, id="disk full"),
    ],
)
def test_a_code_becomes_an_exit_status(
    ctl: Ctl, daemon: FakeDaemon, code: str, http: int, status: int
) -> None:
    daemon.on("POST /v1/plan", refusal(code, "it needs 60.0 GiB", "ask for less", http))
    done = ctl("plan", "gpt-oss-120b", "--json")
    assert done.returncode == status
    assert json.loads(done.stdout) == {
        "error": {"code": code, "message": "it needs 60.0 GiB", "hint": "ask for less", "line": ""}
    }
    assert done.stderr == "node-ctl: it needs 60.0 GiB\nhint: ask for less\n"


def test_a_plan_that_does_not_fit_is_explained_where_that_was_asked_for(ctl: Ctl, daemon: FakeDaemon) -> None:
    explanation = {
        "short": ["Q8_0 with 8192 tokens", "GPU0 would hold 9.0 GiB: 1.0 GiB short"],
        "instead": ["another quant: Q4_K_M"],
        "holds": [],
    }
    error = {"code": "does_not_fit", "message": "m does not fit", "hint": "ask for less", "line": ""}
    daemon.on("POST /v1/plan", Answer({"error": {**error, "explanation": explanation}}, 409))
    done = ctl("plan", "m", "--explain")
    assert daemon.asked[-1].body["explain"] is True
    assert (done.returncode, done.stderr) == (4, "node-ctl: m does not fit\n")
    assert done.stdout.splitlines() == [
        "does not fit",
        "  Q8_0 with 8192 tokens",
        "  - GPU0 would hold 9.0 GiB: 1.0 GiB short",
        "",
        "what fits here instead",
        "  - another quant: Q4_K_M",
        "",
        "what would hold it",
        "  - nothing that is known",
    ]
    as_json = ctl("plan", "m", "--explain", "--json")
    assert json.loads(as_json.stdout)["error"]["explanation"] == explanation


def test_the_engines_own_line_stands_beside_the_message(ctl: Ctl, daemon: FakeDaemon) -> None:
    says = "main: out of plutonium"
    daemon.on(
        "POST /v1/estimate", refusal("engine_failed", "it exited 3", "see node-ctl logs", 502, line=says)
    )
    done = ctl("estimate", "smollm2-135m", "--json")
    assert json.loads(done.stdout)["error"]["line"] == says
    assert done.stderr == (
        "node-ctl: it exited 3\nengine output: main: out of plutonium\nhint: see node-ctl logs\n"
    )


def test_a_line_that_the_message_repeats_is_printed_once(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", refusal("engine_failed", "no libfoo.so", status=502, line="libfoo.so"))
    assert ctl("plan", "smollm2-135m").stderr == "node-ctl: no libfoo.so\n"


def test_without_json_an_error_leaves_standard_output_empty(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", refusal("unknown_model", "no model is called 'x'", status=404))
    done = ctl("plan", "x")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "node-ctl: no model is called 'x'\n"


def test_every_code_of_the_domain_has_an_exit_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {kind.code for kind in kinds if issubclass(kind, errors.NodeError)} == set(EXIT_STATUS)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(
            ["launc"],
            "node-ctl: no command is called 'launc'\nhint: did you mean launch, lan?\n",
            id="a typo in the command",
        ),
        pytest.param(
            ["service", "instal"],
            "no command of service is called 'instal'\nhint: did you mean install,",
            id="a typo in a command of a group",
        ),
        pytest.param(["asdfqwer"], "hint: node-ctl --help lists them", id="a command like none"),
        pytest.param(["launch"], "MODEL", id="no model"),
        pytest.param(
            ["launch", "m", "--contxt", "1"],
            "node-ctl: no option of launch is called '--contxt'\n"
            "hint: did you mean --context, --min-context?\n",
            id="a typo in an option",
        ),
        pytest.param(["ps", "--zzz"], "hint: node-ctl ps --help lists them", id="an option like none"),
        pytest.param(["lst"], "did you mean list", id="a typo in another name of a command"),
        pytest.param(["config", "chek"], "did you mean check?", id="a typo in a command of config"),
        pytest.param(
            ["plan", "m", "--context", "many"],
            "'many' is not a number of tokens such as 32768 or 32k, and not max",
            id="a number that is none",
        ),
        pytest.param(["plan", "m", "--parallel", "0"], "--parallel", id="a number out of range"),
        pytest.param(["ask", "a", "b", "c"], "quotes", id="a question without quotes"),
        pytest.param(["estimate", "m", "--gpus", "1", "--on", "x"], "--gpus", id="two machines at once"),
        pytest.param(["service"], "install", id="a group without a command"),
    ],
)
def test_bad_usage_is_2_and_says_what_is_right(ctl: Ctl, args: list[str], says: str) -> None:
    done = ctl(*args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_usage_with_json_is_an_object_too(ctl: Ctl) -> None:
    done = ctl("plan", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "bad_usage"


@pytest.mark.parametrize("command", ["ps", "status", "events", "shutdown"])
def test_without_a_daemon_it_is_5_and_how_to_start_it(ctl: Ctl, command: str) -> None:
    done = ctl(command)
    assert done.returncode == 5
    assert "no node-daemon is running" in done.stderr
    assert "hint: start it with node-daemon" in done.stderr


def test_a_socket_without_a_listener_is_not_a_daemon(ctl: Ctl) -> None:
    path = ctl.home / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    done = ctl("--socket", str(path), "ps")
    assert done.returncode == 5
    assert f"no node-daemon listens on {path}" in done.stderr


def test_a_socket_path_that_is_too_long_is_an_error(ctl: Ctl) -> None:
    done = ctl("--socket", "/tmp/" + "x" * 200, "ps")
    assert done.returncode == 5
    assert "too long" in done.stderr


def test_an_answer_that_is_not_json_is_an_error_of_one_line(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", Answer(b"<html>", 500))
    done = ctl("ps")
    assert (done.returncode, done.stderr) == (1, "node-ctl: the daemon answered 500: <html>\n")


def test_an_answer_of_another_version_says_so(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches", [{"name": "smol"}])
    done = ctl("ps")
    assert done.returncode == 1
    assert "LaunchRow.model is missing" in done.stderr
    assert "versions" in done.stderr


def test_on_a_terminal_several_ways_out_stand_one_below_the_other(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/plan", refusal("does_not_fit", "it needs 60.0 GiB", "ask for less; or for more", 409))
    with terminal(["plan", "gpt-oss-120b"], ctl.env) as screen:
        assert screen.ended() == 4
    lines = [line.rstrip() for line in screen.screen.splitlines()]
    assert lines == ["node-ctl: it needs 60.0 GiB", "hint: ask for less", "      or for more"]
