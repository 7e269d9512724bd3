"""The file: its size after 90 days, its order when clocks jump, damage, and full disks."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from daemon.state.durability.opening import DamagedError
from daemon.state.telemetry import database as module
from daemon.state.telemetry.buckets import RESOLUTIONS, Buffer, Value, choose
from daemon.state.telemetry.database import TelemetryDatabase, Window
from domain.telemetry import DAY_S, KEPT_S, Metric

NOW_S = 1_800_000_000 // 3600 * 3600
MEASURED = (Metric.TEMPERATURE, Metric.POWER, Metric.MEMORY, Metric.ENERGY)
COUNTED = (Metric.PROMPT_TOKENS, Metric.GENERATED_TOKENS, Metric.UNKNOWN_ANSWERS, Metric.ENERGY)
DEVICES = ["host", *(f"pci:0000:{number:02x}:00.0" for number in range(8))]
LAUNCHES = [f"launch:some-model-{number}" for number in range(10)]


def power(at_s: float, watts: float, subject: str = "host", elapsed_s: float = 60.0) -> Buffer:
    buffer = Buffer()
    buffer.add(at_s, [Value(Metric.POWER, subject, watts, elapsed_s)], {})
    return buffer


def window(since_s: int, until_s: int, points: int = 60) -> Window:
    resolution, step_s = choose(until_s - since_s, points)
    return Window(since_s, until_s, step_s, resolution)


def size_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def samples_of_90_days() -> list[int]:
    """As dense as each resolution keeps them: a sample for each of its buckets."""
    times: set[int] = set()
    for resolution in RESOLUTIONS:
        times.update(range(NOW_S - resolution.kept_s, NOW_S, resolution.step_s))
    return sorted(times)


def test_90_days_of_eight_gpus_and_ten_launches_are_below_50_mb(tmp_path: Path) -> None:
    path, numbers = tmp_path / "telemetry.db", random.Random(1)  # noqa: S311 - of sizes
    pairs = [(metric, device) for device in DEVICES for metric in MEASURED]
    pairs += [(metric, launch) for launch in LAUNCHES for metric in COUNTED]
    buffer, most_bytes = Buffer(), 0
    with closing(TelemetryDatabase(path)) as database:
        for number, at_s in enumerate(samples_of_90_days()):
            values = [Value(metric, subject, numbers.random(), 10.0) for metric, subject in pairs]
            buffer.add(at_s, values, {})
            if number % 500 == 499:
                database.add(*buffer.take())
                database.thin(at_s)
                most_bytes = max(most_bytes, size_bytes(path))
        database.add(*buffer.take())
        database.thin(NOW_S)
        most_bytes = max(most_bytes, size_bytes(path))
        assert 10e6 < most_bytes < 50e6
        for since_s in (NOW_S - 7200, NOW_S - DAY_S, NOW_S - 14 * DAY_S, NOW_S - KEPT_S):
            rows = database.rows(window(since_s, NOW_S))
            points = {row.point for row in rows if (row.metric, row.subject) == ("energy", DEVICES[-1])}
            assert len(points) >= 20
            assert points == set(range(len(points))), "none is missing"
        assert database.oldest_s() == NOW_S - KEPT_S


def test_what_a_file_may_hold_is_bounded_whatever_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_PAGES", 60)
    path = tmp_path / "telemetry.db"
    with closing(TelemetryDatabase(path)) as database:
        for hour in range(200):
            buffer = Buffer()
            values = [Value(Metric.POWER, f"launch:{hour}-{number}", 1.5, 5.0) for number in range(40)]
            buffer.add(NOW_S + hour * 3600, values, {})
            database.add(*buffer.take())
            database.thin(NOW_S + hour * 3600)
        last = database.rows(window(NOW_S + 199 * 3600, NOW_S + 200 * 3600))
        assert len(last) == 40, "the newest stay"
        (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
        assert pages < 100


def test_a_clock_that_is_set_back_adds_to_the_buckets_that_there_are(tmp_path: Path) -> None:
    with closing(TelemetryDatabase(tmp_path / "telemetry.db")) as database:
        for at_s, watts in ((NOW_S, 10.0), (NOW_S + 3600, 20.0), (NOW_S + 5, 90.0), (NOW_S + 3605, 40.0)):
            database.add(*power(at_s, watts).take())
        rows = database.rows(window(NOW_S, NOW_S + 7200))
    assert [(row.point * 120, row.bucket.samples, row.bucket.highest) for row in rows] == [
        (0, 2, 90.0),
        (3600, 2, 40.0),
    ]


def test_a_clock_that_was_wrong_for_a_while_loses_nothing(tmp_path: Path) -> None:
    with closing(TelemetryDatabase(tmp_path / "telemetry.db")) as database:
        for hour in range(24):
            database.add(*power(NOW_S + hour * 3600, 50.0).take())
        for wrong_s in (NOW_S + 3650 * DAY_S, 86400):
            database.add(*power(wrong_s, 70.0).take())
            database.thin(wrong_s)
        rows = database.rows(window(NOW_S, NOW_S + DAY_S, 24))
    assert [row.point for row in rows] == list(range(24))
    assert {row.bucket.highest for row in rows} == {50.0}


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    with closing(TelemetryDatabase(tmp_path / "telemetry.db")) as database:
        for hour in (0, 1, 5):
            database.add(*power(NOW_S + hour * 3600, 0.0).take())
        rows = database.rows(window(NOW_S, NOW_S + DAY_S, 24))
    assert [(row.point, row.bucket.total) for row in rows] == [(0, 0.0), (1, 0.0), (5, 0.0)]


def _text(path: Path) -> None:
    path.write_text("no database " * 1000)


def _torn(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")


def _without_a_column(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("ALTER TABLE buckets DROP COLUMN seconds")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_text, _torn, _newer, _without_a_column, _folder])
def test_a_damaged_file_is_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "telemetry.db"
    with closing(TelemetryDatabase(path)) as database:
        for hour in range(30):
            database.add(*power(NOW_S + hour * 3600, 1.0).take())
    damage(path)
    with pytest.raises(DamagedError):
        TelemetryDatabase(path)
