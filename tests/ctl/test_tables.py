"""Tables on terminals of any width, in a pipe and in an ASCII locale; times are told in one unit."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ctl.show.formatting import ago
from domain.models.local_model import LocalModelRow
from domain.models.model import Source
from domain.models.search_result import SearchResult
from domain.serialization import to_json
from domain.units import GIB
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import Answer, FakeDaemon, refusal

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        (160, "NAME STATE MODEL ENGINE QUANT CONTEXT MEMORY TOKENS/S SINCE ENDPOINT"),
        (80, "NAME STATE CONTEXT MEMORY TOKENS/S ENDPOINT"),
        (60, "NAME STATE TOKENS/S ENDPOINT"),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_cells(
    ctl: Ctl, daemon: FakeDaemon, columns: int, heads: str
) -> None:
    large = replace(answers.ROW, name="gpt-oss-120b", model="unsloth/gpt-oss-120b-GGUF:Q4_K_M")
    daemon.on("GET /v1/launches", to_json([answers.ROW, large]))
    with terminal(["ps"], ctl.env, columns=columns) as screen:
        assert screen.ended() == 0
    head, *rows = re.sub(r"\x1b\[[0-9;]*m", "", screen.screen).rstrip().split("\r\n")
    assert head.split() == heads.split()
    assert [row.split()[0] for row in rows] == ["smol", "gpt-oss-120b"]
    assert all(row.rstrip().endswith("http://127.0.0.1:18100/v1") for row in rows)
    assert max(map(len, rows)) <= columns


LONG = "unsloth/Qwen3-Coder-480B-A35B-Instruct-1M-GGUF:UD-Q4_K_XL"
WEIGHTS = LocalModelRow(
    LONG, Source.HUB, LONG.partition(":")[0], "0123", "UD-Q4_K_XL", 276 * GIB, ("a.gguf",), "/m", pinned=True
)
LAUNCHES = (
    replace(answers.ROW, name="qwen3-coder-480b-a35b-instruct-1m-gguf", model=LONG, restarts=12),
    replace(answers.FAILED_ROW, last_error="the driver says that it is out of memory, " * 6),
)
EVENT = {
    "id": 1234,
    "at": "2026-01-02T03:04:05.678+00:00",
    "kind": "failed",
    "launch": "smol",
    "message": "an engine on a machine at 90 °C said … " * 8,
}
COMPARED = [
    {"model": LONG, "profile": box, "plan": plan, "error": error, "power_limit_w": None}
    for box, plan, error in (
        ("rtx-5090-desktop", to_json(answers.MOE_PLAN), None),
        ("strix-halo-128gb", None, {"message": "no quant of it fits this machine with that context " * 3}),
    )
]
FOUND = SearchResult(
    LONG.partition(":")[0], ("gguf", "safetensors"), 10**6, 480 * 10**9, 960 * GIB, "apache-2.0"
)
TABLES: dict[tuple[str, ...], tuple[str, object]] = {
    ("ps",): ("GET /v1/launches", to_json(LAUNCHES)),
    ("models",): ("GET /v1/models", to_json([WEIGHTS])),
    ("compare", "m"): ("POST /v1/compare", COMPARED),
    ("events",): ("GET /v1/events", Answer(lines=(json.dumps(EVENT),))),
    ("search", "qwen3"): ("POST /v1/search", to_json([FOUND])),
    ("doctor",): ("GET /v1/doctor", answers.CHECKS),
    ("status",): ("GET /v1/status", answers.STATUS),
    ("estimate", "m"): ("POST /v1/estimate", to_json(answers.ESTIMATE)),
    ("probe",): ("GET /v1/probe", to_json(answers.BOX)),
}
NAMES = {"ps": LAUNCHES[0].name, "models": LONG, "compare": "strix-halo-128gb", "search": FOUND.repo}


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("args", TABLES, ids=" ".join)
def test_no_table_is_wider_than_its_terminal(
    ctl: Ctl, daemon: FakeDaemon, args: tuple[str, ...], columns: int
) -> None:
    daemon.on(*TABLES[args])
    with terminal([*args], ctl.env, columns=columns) as screen:
        assert screen.ended() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.screen).rstrip().split("\r\n")
    assert max(map(len, lines)) <= columns
    assert NAMES.get(args[0], "") in "\n".join(lines), "a name that can be copied"


@pytest.mark.parametrize(
    "locale",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, id="an ASCII stream"),
        pytest.param(
            {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="POSIX, by force"
        ),
        pytest.param({"LC_ALL": "C"}, id="C"),
    ],
)
@pytest.mark.parametrize("args", TABLES, ids=" ".join)
def test_no_locale_ends_a_table_with_a_traceback(
    ctl: Ctl, daemon: FakeDaemon, args: tuple[str, ...], locale: dict[str, str]
) -> None:
    daemon.on(*TABLES[args])
    done = ctl(*args, **locale)
    assert (done.returncode, done.stderr) == (0, "")
    if "LC_ALL" not in locale or "PYTHONUTF8" in locale:
        assert done.stdout.isascii()
    if args == ("events",) and done.stdout.isascii():
        assert "at 90 C said ..." in done.stdout
    as_json = ctl(*args, "--json", **locale).stdout
    for line in as_json.splitlines() if args == ("events",) else [as_json]:
        assert json.loads(line), "no character is lost in JSON"
    if args == ("events",):
        assert json.loads(as_json)["message"] == EVENT["message"]


def test_on_an_ascii_terminal_progress_is_drawn_in_ascii(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("POST /v1/launches", Answer({"name": "smol", "created": True}, 202))
    daemon.on("GET /v1/launches/smol/progress", Answer(lines=answers.TO_READY))
    daemon.on("GET /v1/launches/smol", answers.DETAIL)
    with terminal(["launch", "m"], ctl.env | {"PYTHONIOENCODING": "ascii"}) as screen:
        assert screen.ended() == 0
    assert screen.screen.isascii()
    assert "ready after 1.2 s" in screen.screen


def test_a_name_that_is_no_text_is_an_error_without_a_traceback(ctl: Ctl, daemon: FakeDaemon) -> None:
    done = ctl("ask", "\udcff?", "?")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_those_that_are_named_are_listed(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.on("GET /v1/launches/smol", answers.DETAIL)
    daemon.on("GET /v1/launches/none", refusal("unknown_launch", "no launch is called 'none'", status=404))
    assert [line.split()[0] for line in ctl("ps", "smol", "smol").stdout.splitlines()] == ["NAME", "smol"]
    (row,) = json.loads(ctl("ps", "smol", "--json").stdout)
    assert row == {**answers.DETAIL["launch"], "daemon": row["daemon"]}
    assert ctl("ps", "smol", "none").returncode == 1


@pytest.mark.parametrize(
    ("restarts", "state"), [(0, "ready"), (1, "ready (1 restart)"), (2, "ready (2 restarts)")]
)
def test_restarts_stand_beside_the_state(ctl: Ctl, daemon: FakeDaemon, restarts: int, state: str) -> None:
    daemon.on("GET /v1/launches", to_json([replace(answers.ROW, restarts=restarts)]))
    assert re.split(r"  +", ctl("ps").stdout.splitlines()[1])[1] == state


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (None, ""),
        ("2026-01-10T11:59:30+00:00", "30 s"),
        ("2026-01-10T10:30:00+00:00", "90 min"),
        ("2026-01-09T12:00:00+00:00", "24 h"),
        ("2026-01-01T12:00:00", "9 d"),
        ("2026-01-10T13:00:00+00:00", "0 s"),
        ("soon", "soon"),
    ],
)
def test_how_long_ago_is_one_figure(moment: str | None, words: str) -> None:
    assert ago(moment, now=NOW) == words
