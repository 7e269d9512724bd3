"""An engine outlives the daemon that started it, and the next one takes it over."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from signal import Signals

import pytest

from domain.errors import EngineError
from domain.serialization import from_json, to_json
from launchers import liveness, llama_cpp
from launchers.command import Command, StopPolicy
from launchers.liveness import Look
from launchers.process import adoption, procfs
from launchers.process.engine import EngineProcess
from launchers.process.procfs import Identity
from launchers.readiness import Ready
from tests.launchers.conftest import FAKE, ROOT, MakeProcess, until

# A daemon that starts an engine, tells who it is, and lives until it is killed.
SHORT_LIVED_DAEMON = """
import asyncio, json, sys
from pathlib import Path
from domain.serialization import from_json, to_json
from launchers import llama_cpp
from launchers.command import Command
from launchers.process.engine import EngineProcess

async def main():
    command = from_json(Command, json.loads(sys.argv[1]))
    process = EngineProcess(command, log_path=Path(sys.argv[2]), diagnose=llama_cpp.diagnose)
    await process.ensure_ready(120)
    print(json.dumps(to_json(process.identity)), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def start_and_kill_the_daemon(command: Command, log_path: Path) -> Identity:
    argv = [sys.executable, "-c", SHORT_LIVED_DAEMON, json.dumps(to_json(command)), str(log_path)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as daemon:
        assert daemon.stdout is not None
        line = daemon.stdout.readline()
        daemon.kill()
    return from_json(Identity, json.loads(line))


@pytest.fixture
def command(port: int) -> Command:
    argv = (sys.executable, str(FAKE), "--port", str(port), "--stubborn-child", "--chatter", "10000")
    return Command(argv=argv, port=port, served_name="smollm2-135m", stop=StopPolicy(grace_s=1.0))


async def adopt(identity: Identity, command: Command, log_path: Path) -> EngineProcess | None:
    process = EngineProcess(command, log_path=log_path, diagnose=llama_cpp.diagnose)
    return process if await process.adopt(identity) else None


async def test_an_engine_outlives_its_killed_daemon_and_is_adopted(command: Command, tmp_path: Path) -> None:
    log_path = tmp_path / "engine.log"
    identity = await asyncio.to_thread(start_and_kill_the_daemon, command, log_path)
    before = await asyncio.to_thread(log_path.read_bytes)
    process = await adopt(identity, command, log_path)
    assert process is not None
    ready = await process.ensure_ready(120)
    assert ready.answer == "The capital of France is Paris."
    assert ready.load_s is None
    assert process.identity == identity
    await until(lambda: log_path.stat().st_size > len(before))
    ended = await process.stop()
    assert ended is not None
    assert ended.status is None
    assert ended.stop_requested
    assert await asyncio.to_thread(procfs.members, identity.pid) == ()


async def test_the_end_of_an_adopted_engine_is_seen(command: Command, tmp_path: Path) -> None:
    identity = await asyncio.to_thread(start_and_kill_the_daemon, command, tmp_path / "engine.log")
    process = await adopt(identity, command, tmp_path / "engine.log")
    assert process is not None
    os.kill(identity.pid, Signals.SIGKILL)
    async with asyncio.timeout(120):
        ended = await process.wait()
    assert not ended.stop_requested
    assert not process.alive
    assert await asyncio.to_thread(procfs.members, identity.pid) == ()


async def test_what_an_earlier_engine_said_does_not_explain_the_end_of_this_one(
    command: Command, tmp_path: Path
) -> None:
    log_path = tmp_path / "engine.log"
    log_path.write_text("E gguf_init_from_file: failed to read key-value pairs\n")
    identity = await asyncio.to_thread(start_and_kill_the_daemon, command, log_path)
    process = await adopt(identity, command, log_path)
    assert process is not None
    os.kill(identity.pid, Signals.SIGKILL)
    why = await process.why()
    assert "failed to read" not in why.in_full
    assert why.cause == "exited"


async def test_a_pid_that_is_another_programs_by_now_is_not_adopted(
    engine_with: MakeProcess, tmp_path: Path
) -> None:
    process = engine_with()
    await process.ensure_ready(120)
    identity = process.identity
    assert identity is not None
    log_path = tmp_path / "engine.log"
    later = replace(identity, start_ticks=identity.start_ticks + 1)
    assert await adopt(later, process.command, log_path) is None
    other = replace(process.command, argv=(*process.command.argv, "--other"))
    assert await adopt(identity, other, log_path) is None
    await process.stop()
    assert await adopt(identity, process.command, log_path) is None


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    return tmp_path / "queue"


async def adopt_busy(command: Command, queue: Path, tmp_path: Path, moves: str) -> EngineProcess:
    """An engine whose clients let no question of the next daemon through."""
    command = replace(command, argv=(*command.argv, "--queue", str(queue)))
    identity = await asyncio.to_thread(start_and_kill_the_daemon, command, tmp_path / "engine.log")
    await asyncio.to_thread(queue.write_text, moves)
    process = EngineProcess(command, log_path=tmp_path / "engine.log", diagnose=llama_cpp.diagnose)
    assert await process.adopt(identity, EARLIER)
    return process


EARLIER = Ready("Paris.", 20.0, 200.0, load_s=3.0)


@pytest.mark.parametrize("moves", ["", "moving"])
async def test_an_engine_that_serves_its_clients_is_taken_over_though_its_check_waits(
    command: Command, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: str
) -> None:
    monkeypatch.setattr(adoption, "WINDOW_S", 1.0)
    monkeypatch.setattr(liveness, "LOOK_S", 60.0)
    process = await adopt_busy(command, queue, tmp_path, moves)
    identity = process.identity
    ready = await process.ensure_ready(120)
    assert (ready.answer, ready.decode_tokens_per_s) == ("Paris.", 20.0), "that of the earlier check"
    assert ready.unchecked
    assert process.identity == identity
    await process.stop()


async def test_a_time_out_of_one_question_is_no_verdict() -> None:
    """Where clients hold all its connections, each question times out."""
    asked: list[int] = []

    async def check() -> Ready:
        asked.append(1)
        if len(asked) < 3:
            raise EngineError("a time-out", cause="no_answer")
        return EARLIER

    async def look() -> Look:
        return Look(answers=False, silent=False, activity=None, work=procfs.Work(0.0, 0, False), log_bytes=0)

    assert await adoption.prove(check, look, None, 0.01) == EARLIER
    assert len(asked) == 3


async def test_an_engine_whose_connections_are_all_taken_is_known_by_its_work() -> None:
    looks = iter(range(100))

    async def look() -> Look:
        work = procfs.Work(float(next(looks)), 0, stopped=False)
        return Look(answers=False, silent=True, activity=None, work=work, log_bytes=0)

    ready = await adoption.prove(asyncio.Event().wait, look, None, 0.01)  # type: ignore[arg-type]
    assert (ready.answer, ready.unchecked) == ("", True)


@pytest.mark.parametrize("state", ["stuck", "stopped"])
async def test_an_adopted_engine_in_which_nothing_moves_is_ended(
    command: Command, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(liveness, "LOOK_S", 0.2 if state == "stopped" else 60.0)
    process = await adopt_busy(command, queue, tmp_path, "stuck")
    if state == "stopped":
        assert process.pid is not None
        os.kill(process.pid, Signals.SIGSTOP)
    with pytest.raises(EngineError, match="did not answer within"):
        await process.ensure_ready(3)
    assert not process.alive


async def test_an_adopted_engine_that_still_loads_is_waited_for(
    command: Command, tmp_path: Path, queue: Path
) -> None:
    process = await adopt_busy(command, queue, tmp_path, "silent")
    starting = asyncio.create_task(process.ensure_ready(120))
    await asyncio.wait({starting}, timeout=0.1)
    await asyncio.to_thread(queue.unlink)
    assert (await starting).answer == "The capital of France is Paris."
    await process.stop()
