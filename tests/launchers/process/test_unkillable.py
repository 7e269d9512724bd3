"""An engine that SIGKILL does not end: the kernel holds it, until a GPU or a disk answers again."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import Signals

import pytest

from domain.errors import EngineError
from launchers import llama_cpp
from launchers.process import procfs
from launchers.process.child import Child
from launchers.process.engine import EngineProcess
from tests.launchers.conftest import MakeProcess, has_lines, until
from tests.rigs.frozen_disk import FrozenDisk, frozen_disk

HANGS = "D"  # state of a thread that waits in the kernel and hears no signal: proc_pid_stat(5)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FrozenDisk]:
    with frozen_disk(tmp_path) as disk:
        yield disk


@contextmanager
def impatient() -> Iterator[pytest.MonkeyPatch]:
    """While nothing can end it. What can be ended is given all the time that a busy machine takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("launchers.process.child.KILL_S", 0.2)
        yield patch


def hangs(pid: int) -> bool:
    states = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that has ended meanwhile
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return HANGS in states


@pytest.mark.root
async def test_it_stays_known_until_it_is_gone(
    engine_with: MakeProcess, disk: FrozenDisk, tmp_path: Path
) -> None:
    process = engine_with("--write", str(disk.path / "file"))
    process.command.env["HANGS"] = "yes"
    await process.ensure_ready(120)
    identity, pid = process.identity, process.pid
    assert identity is not None
    assert pid is not None
    disk.freeze()
    await until(lambda: hangs(pid))
    waiting = asyncio.create_task(process.wait())
    for _ in range(2):
        still_there = pytest.raises(EngineError, match=f"process {pid} is still there after SIGKILL")
        with impatient(), still_there as failed:
            await process.stop()
        assert failed.value.cause == "unkillable"
        assert process.alive
        assert (process.pid, process.identity) == (pid, identity)
        assert await asyncio.to_thread(procfs.held_bytes, pid) > 0
    with pytest.raises(EngineError) as refused:
        await process.ensure_ready(120)
    assert refused.value.cause == "unkillable"
    # A new daemon finds it by its identity and its environment, though its first thread has ended.
    assert b"HANGS=yes" in await asyncio.to_thread(procfs.environment, pid)
    log_path = tmp_path / "engine.log"
    adopted = EngineProcess(process.command, log_path=log_path, diagnose=llama_cpp.diagnose)
    assert await adopted.adopt(identity)
    assert not waiting.done()

    disk.thaw()
    ended = await waiting
    assert ended.stop_requested
    assert (process.alive, process.pid) == (False, None)
    assert await process.stop() == ended
    await adopted.wait()
    assert not adopted.alive
    await process.ensure_ready(120)
    assert process.pid not in (None, pid)


@pytest.mark.root
async def test_a_worker_that_cannot_be_killed_keeps_its_engine_known(
    engine_with: MakeProcess, disk: FrozenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, note_end = [], Child._note_end
    monkeypatch.setattr(Child, "_note_end", lambda child: (ends.append(child), note_end(child)))
    process = engine_with("--write-child", str(disk.path / "file"))
    await process.ensure_ready(120)
    leader = process.pid
    assert leader is not None
    (worker,) = set(await asyncio.to_thread(procfs.members, leader)) - {leader}
    disk.freeze()
    await until(lambda: hangs(worker))
    with impatient(), pytest.raises(EngineError) as failed:
        await process.stop()
    assert failed.value.cause == "unkillable"
    assert process.pid == leader
    assert await asyncio.to_thread(procfs.members, leader) == (worker,)
    assert len(ends) == 1  # the leader's end wakes the loop once, not over and over
    disk.thaw()
    assert (await process.wait()).stop_requested
    assert not process.alive


async def test_a_stop_that_failed_is_tried_again(engine_with: MakeProcess) -> None:
    process = engine_with("--deaf")
    await process.ensure_ready(120)
    with impatient() as unkillable:
        unkillable.setattr("launchers.process.procfs.signal_session", lambda session, number: None)
        with pytest.raises(EngineError, match="still there after SIGKILL"):
            await process.stop()
    assert process.alive
    ended = await process.stop()
    assert ended is not None
    assert ended.status == -Signals.SIGKILL
    assert not process.alive


async def test_one_that_ends_after_all_is_seen(engine_with: MakeProcess) -> None:
    process = engine_with("--deaf")
    await process.ensure_ready(120)
    pid = process.pid
    assert pid is not None
    with impatient() as unkillable:
        unkillable.setattr("launchers.process.procfs.signal_session", lambda session, number: None)
        with pytest.raises(EngineError, match="still there"):
            await process.stop()
        os.kill(pid, Signals.SIGKILL)
        ended = await process.wait()
    assert (ended.status, ended.stop_requested) == (-Signals.SIGKILL, True)
    await process.ensure_ready(120)
    assert process.pid not in (None, pid)


async def test_callers_of_its_start_get_the_error_at_once(engine_with: MakeProcess, tmp_path: Path) -> None:
    process = engine_with("--deaf", "--slow", "600", "--chatter", "1000")
    starting = asyncio.create_task(process.ensure_ready(600))
    await until(lambda: has_lines(tmp_path / "engine.log"))  # by then it is deaf
    with impatient() as unkillable:
        unkillable.setattr("launchers.process.procfs.signal_session", lambda session, number: None)
        with pytest.raises(EngineError, match="still there"):
            await process.stop()
        with pytest.raises(EngineError, match="still there"):
            await starting
    assert process.alive
    await process.stop()
    assert not process.alive
