"""What happens beside an engine while it is watched: it ends as it is stopped, its log can't be moved."""

import asyncio
import os
import threading
from pathlib import Path
from signal import Signals

import pytest

from domain.errors import EngineError
from launchers.command import StopPolicy
from launchers.process import logfile
from tests.launchers.conftest import MakeProcess, until


async def test_an_engine_that_ends_while_it_is_stopped_is_stopped(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pidfd is closed by then, and the number may be another engine's."""
    process, other = engine_with(), None
    await process.ensure_ready(120)
    pid = process.pid
    assert pid is not None
    entered, gone = threading.Event(), threading.Event()

    def slow(path: Path, limit_bytes: int) -> bool:
        entered.set()
        return gone.wait(120) and False

    monkeypatch.setattr(logfile, "bound", slow)
    stopping = asyncio.create_task(process.stop())
    await asyncio.to_thread(entered.wait, 120)
    os.kill(pid, Signals.SIGKILL)
    await process.wait()
    other = os.open("/dev/null", os.O_RDONLY)  # takes the free number
    gone.set()
    try:
        ended = await stopping
        assert ended is not None
        assert ended.status == -Signals.SIGKILL
        assert await process.stop() == ended
    finally:
        os.close(other)


async def test_a_log_that_cannot_be_copied_is_truncated_and_the_engine_goes_on(
    engine_with: MakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.process.child.TICK_S", 0.1)
    (tmp_path / "engine.log.part").mkdir()
    process = engine_with("--chatter", "400000", log_limit_bytes=20_000, stop=StopPolicy(grace_s=60))
    await process.ensure_ready(120)
    for _ in range(2):
        await until(lambda: (tmp_path / "engine.log").stat().st_size > 20_000)
        await until(lambda: (tmp_path / "engine.log").stat().st_size <= 20_000)
    assert process.alive
    ended = await process.stop()
    assert ended is not None
    assert (ended.status, ended.stop_requested) == (0, True)


async def test_a_failed_check_does_not_end_the_watch(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def full(path: Path, limit_bytes: int) -> bool:
        calls.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("launchers.process.child.TICK_S", 0.05)
    process = engine_with()
    await process.ensure_ready(120)
    monkeypatch.setattr(logfile, "bound", full)
    await until(lambda: len(calls) > 2)
    assert process.alive
    pid = process.pid
    assert pid is not None
    os.kill(pid, Signals.SIGKILL)
    assert (await process.wait()).status == -Signals.SIGKILL


async def test_a_log_that_cannot_be_written_is_an_error_of_its_own(
    engine_with: MakeProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    process = engine_with(log_path=tmp_path / "file" / "engine.log")
    with pytest.raises(EngineError, match=r"log .*engine\.log can't be written") as failed:
        await process.ensure_ready(120)
    assert failed.value.cause == "no_log"
