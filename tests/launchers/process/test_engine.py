"""One engine from start to end, on a real child that can misbehave. The contract of ensure_ready first."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

from domain.errors import EngineError
from launchers.command import StopPolicy
from launchers.process import procfs
from tests.launchers.conftest import MakeProcess, has_lines, until


async def members(leader: int) -> tuple[int, ...]:
    return await asyncio.to_thread(procfs.members, leader)


async def test_callers_share_one_start(engine_with: MakeProcess, tmp_path: Path) -> None:
    process = engine_with("--until", str(tmp_path / "loaded"))
    callers = [asyncio.create_task(process.ensure_ready(60)) for _ in range(2)]
    await until(lambda: process.alive)
    (tmp_path / "loaded").touch()
    first, second = await asyncio.gather(*callers)
    assert first is second
    assert first.answer == "The capital of France is Paris."
    assert first.load_s is not None
    assert first.load_s > 0
    assert await process.ensure_ready(60) is first


async def test_a_caller_that_gives_up_does_not_stop_the_others(
    engine_with: MakeProcess, tmp_path: Path
) -> None:
    process = engine_with("--until", str(tmp_path / "loaded"))
    impatient, patient = (asyncio.create_task(process.ensure_ready(60)) for _ in range(2))
    await until(lambda: process.alive)
    impatient.cancel()
    await asyncio.wait({impatient})
    (tmp_path / "loaded").touch()
    assert (await patient).answer
    assert impatient.cancelled()


async def test_a_caller_during_a_stop_waits_and_starts_it_again(engine_with: MakeProcess) -> None:
    process = engine_with("--deaf")
    await process.ensure_ready(60)
    before = process.pid
    stopping = asyncio.create_task(process.stop())
    await asyncio.sleep(0)  # it has begun
    await process.ensure_ready(60)
    assert stopping.done()
    assert process.pid not in (None, before)


async def test_a_failed_start_raises_and_leaves_nothing(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("launchers.process.child.STRAGGLE_S", 0.1)
    process = engine_with("--stubborn-child", "--die", "7", "--when", str(tmp_path / "now"), "--slow", "600")
    starting = asyncio.create_task(process.ensure_ready(60))
    await until(lambda: process.alive)
    leader = process.pid
    assert leader is not None
    (tmp_path / "now").touch()
    with pytest.raises(EngineError, match="exited 7 while starting"):
        await starting
    assert not process.alive
    assert await members(leader) == ()


async def test_an_unexplained_quick_exit_is_tried_again_to_learn_the_cause(
    engine_with: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.process.engine.QUICK_S", 600)  # quick is what a busy machine makes of it
    process = engine_with(
        "--die", "1", "--say-second", "E gguf_init_from_file: failed to read key-value pairs"
    )
    with pytest.raises(EngineError) as failed:
        await process.ensure_ready(60)
    assert failed.value.cause == "bad_file"


async def test_after_a_failure_it_can_be_started_again(engine_with: MakeProcess, tmp_path: Path) -> None:
    process = engine_with("--slow", "600")
    with pytest.raises(EngineError, match=r"did not answer within 0\.3 s") as failed:
        await process.ensure_ready(0.3)
    assert failed.value.cause == "timeout"
    assert not process.alive
    with pytest.raises(EngineError):
        await process.ensure_ready(0.3)


async def test_a_stop_ends_the_start_for_its_callers(engine_with: MakeProcess) -> None:
    process = engine_with("--slow", "600")
    waiting = asyncio.create_task(process.ensure_ready(60))
    await asyncio.sleep(0)
    await process.stop()
    with pytest.raises(EngineError) as failed:
        await waiting
    assert failed.value.cause == "stopped"
    assert not process.alive


async def test_an_engine_that_ignores_signals_is_killed_after_its_grace(engine_with: MakeProcess) -> None:
    process = engine_with("--deaf")
    await process.ensure_ready(60)
    ended = await process.stop()
    assert ended is not None
    assert ended.status == -Signals.SIGKILL
    assert ended.stop_requested


async def test_what_an_engine_leaves_behind_is_ended_with_it(engine_with: MakeProcess) -> None:
    process = engine_with("--stubborn-child")
    await process.ensure_ready(60)
    leader = process.pid
    assert leader is not None
    assert len(await members(leader)) == 2
    await process.stop()
    assert await members(leader) == ()


async def test_an_engine_that_dies_takes_its_children_along(engine_with: MakeProcess, tmp_path: Path) -> None:
    process = engine_with("--stubborn-child", "--die", "0", "--when", str(tmp_path / "now"))
    await process.ensure_ready(60)
    leader = process.pid
    assert leader is not None
    (tmp_path / "now").touch()
    ended = await process.wait()
    assert (ended.status, ended.stop_requested, ended.served) == (0, False, True)
    assert await members(leader) == ()
    assert "exited 0 while serving" in str(await process.why())


async def test_a_starting_engine_gets_the_signal_that_ends_it(
    engine_with: MakeProcess, tmp_path: Path
) -> None:
    as_vllm = StopPolicy(Signals.SIGINT, starting_to_all=True, grace_s=60)
    process = engine_with("--slow", "600", "--only-int", "--chatter", "1000", stop=as_vllm)
    waiting = asyncio.create_task(process.ensure_ready(60))
    await until(lambda: has_lines(tmp_path / "engine.log"))  # by then it handles signals
    ended = await process.stop()
    assert ended is not None
    assert ended.status == -Signals.SIGINT
    with pytest.raises(EngineError):
        await waiting


@pytest.fixture
def weights_in_shared_memory() -> Iterator[Path]:
    path = Path("/dev/shm", f"weights_{uuid.uuid4()}")
    path.write_bytes(b"someone's")
    yield path
    path.unlink(missing_ok=True)


async def test_shared_memory_of_a_killed_engine_is_cleaned_and_nothing_else(
    engine_with: MakeProcess, weights_in_shared_memory: Path
) -> None:
    left = Path("/dev/shm", f"psm_{uuid.uuid4()}")
    policy = StopPolicy(grace_s=0.3, shared_memory=("psm_*",))
    process = engine_with("--deaf", "--shm", left.name, stop=policy)
    await process.ensure_ready(60)
    assert await asyncio.to_thread(left.exists)
    await process.stop()
    assert not await asyncio.to_thread(left.exists)
    assert await asyncio.to_thread(weights_in_shared_memory.exists)


async def test_a_chatty_engine_does_not_fill_the_disk(
    engine_with: MakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchers.process.child.TICK_S", 0.1)
    process = engine_with("--chatter", "400000", log_limit_bytes=20_000)
    await process.ensure_ready(60)
    log, older = tmp_path / "engine.log", tmp_path / "engine.log.1"
    for _ in range(2):
        await until(older.exists)
        assert older.stat().st_size <= 20_000
        older.unlink()
    await until(lambda: log.stat().st_size <= 20_000)
    await process.stop()


async def test_a_port_in_use_is_an_error_before_anything_starts(engine_with: MakeProcess) -> None:
    first, second = engine_with(), engine_with()
    await first.ensure_ready(60)
    with pytest.raises(EngineError, match="taken by another program") as failed:
        await second.ensure_ready(60)
    assert failed.value.cause == "port_taken"
    assert second.pid is None


@pytest.fixture
def oom_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's count of OOM kills, to be raised by hand: no test may need the rights for a cgroup."""
    root = tmp_path / "cgroup"
    monkeypatch.setattr(procfs, "CGROUPS", root)
    for path in (root / "memory" / "memory.oom_control", root / "memory.events"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("oom_kill 3\n")
    return root


@pytest.mark.parametrize("killed", [True, False], ids=["by the kernel for memory", "by hand"])
async def test_a_kill_for_memory_is_distinguished_from_any_other(
    engine_with: MakeProcess, oom_counter: Path, killed: bool
) -> None:
    process = engine_with("--slow", "600")
    waiting = asyncio.create_task(process.ensure_ready(600))
    await until(lambda: process._child is not None and len(process._child._oom_kills) > 0)
    assert process.pid is not None
    for path in await asyncio.to_thread(lambda: [p for p in oom_counter.rglob("*") if p.is_file()]):
        await asyncio.to_thread(path.write_text, f"oom_kill {4 if killed else 3}\n")
    os.kill(process.pid, Signals.SIGKILL)
    with pytest.raises(EngineError) as failed:
        await waiting
    assert failed.value.cause == ("oom_killed" if killed else "killed")
