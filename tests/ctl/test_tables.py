"""``ps`` on a terminal: columns give way before a line wraps; times are told in one unit."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ctl.show.formatting import ago
from domain.serialization import to_json
from tests.conftest import ROOT
from tests.ctl import answers
from tests.ctl.conftest import Ctl
from tests.ctl.terminal import terminal
from tests.fakes.daemon_server import FakeDaemon

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        (150, "NAME STATE MODEL ENGINE QUANT CONTEXT MEMORY TOKENS/S SINCE ENDPOINT"),
        (80, "NAME STATE QUANT CONTEXT MEMORY TOKENS/S ENDPOINT"),
        (60, "NAME STATE TOKENS/S ENDPOINT"),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_cells(
    ctl: Ctl, daemon: FakeDaemon, columns: int, heads: str
) -> None:
    large = replace(answers.ROW, name="gpt-oss-120b", model="unsloth/gpt-oss-120b-GGUF:Q4_K_M")
    daemon.on("GET /v1/launches", to_json([answers.ROW, large]))
    with terminal(ctl.argv("ps"), ctl.env, ROOT, columns=columns) as screen:
        assert screen.ended() == 0
    head, *rows = re.sub(r"\x1b\[[0-9;]*m", "", screen.screen).rstrip().split("\r\n")
    assert head.split() == heads.split()
    assert [row.split()[0] for row in rows] == ["smol", "gpt-oss-120b"]
    assert all(row.rstrip().endswith("http://127.0.0.1:18100") for row in rows)
    assert max(map(len, rows)) <= columns


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
