"""A daemon records its samples; a full or damaged file of telemetry touches nothing else."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.app import App
from daemon.events.gateway_state import TokenCount
from daemon.state.telemetry import database, telemetry
from daemon.state.telemetry.telemetry import Telemetry
from daemon.telemetry.recorder import FLUSH_S, Recorder, flush
from domain.errors import StateError
from domain.machine.hardware import Gpu, Hardware, Memory
from domain.machine.sample import Sample
from tests.daemon.conftest import FakeLauncher, Running, fake_adapters

NOW_S = 1_800_000_000
CARD = Gpu("pci:0000:01:00.0", "nvidia", "RTX 3090", temperature_c=61.0, power_w=200.0)
BOX = Hardware(memory=Memory(total_bytes=64 << 30, available_bytes=32 << 30), gpus=(CARD,))


def sample(second: float) -> Sample:
    return Sample(NOW_S + second, 1000.0 + second, BOX)


def stored(path: Path) -> dict[tuple[str, str], tuple[int, float]]:
    """Samples and total of each series."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(
            "SELECT metric, subject, sum(samples), sum(total) FROM buckets JOIN series ON id = series "
            "WHERE step_s = 3600 GROUP BY id"
        )
        return {(metric, subject): (count, total) for metric, subject, count, total in found}


@asynccontextmanager
async def recording(daemon: Running) -> AsyncIterator[App]:
    """A daemon, and telemetry of its own to which only the test gives samples."""
    async with daemon() as api:
        path = api.app.settings.state_dir / "telemetry.db"
        app = replace(api.app, telemetry=Telemetry(path))
        try:
            yield app
        finally:
            await app.telemetry.close()


async def kinds(app: App) -> list[str]:
    events = app.events.read(0, follow=False)
    return [event.kind async for event in events if event.kind.startswith("telemetry")]


async def test_a_daemon_records_its_samples_beside_its_state(
    daemon: Running, settings: Settings, launcher: FakeLauncher
) -> None:
    of = settings.model_copy(update={"telemetry": True})
    async with daemon(fake_adapters(of, launcher), of=of) as api, asyncio.timeout(100):
        while await api.app.telemetry.run(lambda file: file.oldest_s()) is None:  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.02)
    assert await asyncio.to_thread(stored, settings.state_dir / "telemetry.db")
    async with daemon() as api:
        assert api.app.telemetry is None, "an owner can switch it off"


async def test_samples_are_stored_once_a_minute_and_at_the_end(daemon: Running) -> None:
    async with recording(daemon) as app:
        recorder, count = Recorder(app, app.telemetry), TokenCount()
        app.gateway.token_counts["smol"] = count
        await recorder.on_sample(sample(0))
        count.add(30, 12)
        for second in (5, 10, 15):
            await recorder.on_sample(sample(second))
        once = await asyncio.to_thread(stored, app.telemetry.path)
        await recorder.on_sample(sample(FLUSH_S))
        later = await asyncio.to_thread(stored, app.telemetry.path)
        await recorder.on_sample(sample(FLUSH_S + 5))
        await flush(app)
        at_last = await asyncio.to_thread(stored, app.telemetry.path)
        assert await kinds(app) == []
    power, energy, tokens = (
        ("power", CARD.id), ("energy", CARD.id), ("generated_tokens", "launch:smol"),
    )  # fmt: skip
    assert (once[power][0], later[power][0], at_last[power][0]) == (1, 5, 6)
    assert at_last[energy][1] == pytest.approx(200 * (FLUSH_S + 5) / 3600)
    assert at_last[tokens] == (1, 12.0)


async def test_a_full_disk_pauses_it_and_is_told_once(
    daemon: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MOST_PAGES", 3)  # SQLite's own "database or disk is full"
    async with recording(daemon) as app:
        recorder = Recorder(app, app.telemetry)
        for minute in range(3):
            await recorder.on_sample(sample(minute * FLUSH_S))
        assert await kinds(app) == ["telemetry_paused"]
        assert "full" in str(app.telemetry.paused)
        assert app.telemetry.buffer.buckets == {}, "what can't be stored is not kept in memory"
        monkeypatch.setattr(database, "MOST_PAGES", 1000)
        await recorder.on_sample(sample(3 * FLUSH_S))
        assert await kinds(app) == ["telemetry_paused", "telemetry_resumed"]
        found = await asyncio.to_thread(stored, app.telemetry.path)
    assert found["power", CARD.id][0] == 1


async def test_a_damaged_file_is_set_aside_and_told_and_recording_goes_on(daemon: Running) -> None:
    async with recording(daemon) as app:
        path, recorder = app.telemetry.path, Recorder(app, app.telemetry)
        await asyncio.to_thread(path.write_bytes, b"no database " * 999)
        await recorder.on_sample(sample(0))
        await recorder.on_sample(sample(FLUSH_S))
        assert await kinds(app) == ["telemetry_lost"]
        found = await asyncio.to_thread(stored, path)
    assert found["power", CARD.id][0] == 2
    assert path.with_name("telemetry.db.damaged").read_bytes().startswith(b"no database")


async def test_a_file_that_is_damaged_while_it_is_open_is_replaced(daemon: Running) -> None:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("DROP TABLE buckets")

    async with recording(daemon) as app:
        recorder = Recorder(app, app.telemetry)
        await recorder.on_sample(sample(0))
        await asyncio.to_thread(damage, app.telemetry.path)
        await recorder.on_sample(sample(FLUSH_S))
        assert await kinds(app) == ["telemetry_lost"]
        assert await asyncio.to_thread(stored, app.telemetry.path)


async def test_a_disk_that_hangs_holds_up_nothing(daemon: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "ANSWER_S", 0.05)
    answers = threading.Event()
    async with recording(daemon) as app:
        try:
            with pytest.raises(StateError, match="has not answered"):
                await app.telemetry.run(lambda file: answers.wait(60))
            await Recorder(app, app.telemetry).on_sample(sample(0))
            assert await kinds(app) == ["telemetry_paused"]
        finally:
            answers.set()
