"""The real llama-server with the real model: it chats, it is measured, it stops, nothing is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import Signals

import httpx
import pytest
import pytest_asyncio

from domain.errors import EngineError
from domain.launches.plan import LlamaFlags
from launchers import llama_cpp
from launchers.base import Capabilities
from launchers.command import Command
from launchers.process import procfs
from launchers.process.engine import EngineProcess
from launchers.trials.thread_counts import candidate_counts, measure
from tests.launchers.conftest import until
from tests.launchers.llama_cpp.test_failures import plan_of

pytestmark = pytest.mark.engine


@pytest.fixture
def command(engine: Capabilities, smollm2: Path, port: int) -> Command:
    return llama_cpp.command(plan_of(smollm2, context_tokens=1024), caps=engine, port=port, name="small")


@pytest_asyncio.fixture
async def process(command: Command, smollm2: Path, tmp_path: Path) -> AsyncIterator[EngineProcess]:
    plan = plan_of(smollm2, context_tokens=1024)
    real = EngineProcess(
        command,
        log_path=tmp_path / "log",
        diagnose=llama_cpp.diagnose,
        find_degradation=lambda log: llama_cpp.find_degradation(log, plan),
        expect="Paris",
    )
    yield real
    await real.stop()


async def test_it_serves_chats_and_stops_without_a_trace(process: EngineProcess) -> None:
    ready = await process.ensure_ready(120)
    assert "Paris" in ready.answer
    assert ready.decode_tokens_per_s is not None
    assert ready.prefill_tokens_per_s is not None
    assert ready.load_s is not None
    leader = process.pid
    assert leader is not None
    messages = [{"role": "user", "content": "Name the capital of France."}]
    question = {"model": "small", "messages": messages, "max_tokens": 16, "temperature": 0}
    async with httpx.AsyncClient(base_url=process.command.url, trust_env=False, verify=False) as http:  # noqa: S501
        answer = (await http.post("/v1/chat/completions", json=question, timeout=60)).json()
        assert "Paris" in answer["choices"][0]["message"]["content"]
        assert "llamacpp:" in (await http.get("/metrics")).text
    ended = await process.stop()
    assert ended is not None
    assert (ended.status, ended.stop_requested, ended.served) == (0, True, True)
    assert await asyncio.to_thread(procfs.members, leader) == ()
    assert "model buffer size" in await process.log_tail()


async def test_a_crash_while_serving_is_seen_and_it_starts_again(process: EngineProcess) -> None:
    await process.ensure_ready(120)
    leader = process.pid
    assert leader is not None
    await asyncio.to_thread(procfs.signal_session, leader, Signals.SIGKILL)
    async with asyncio.timeout(120):
        ended = await process.wait()
    assert (ended.status, ended.stop_requested, ended.served) == (-9, False, True)
    assert (await process.why()).cause == "killed"
    await process.ensure_ready(120)
    assert process.pid not in (None, leader)


async def test_an_engine_that_still_loads_can_be_stopped(process: EngineProcess) -> None:
    waiting = asyncio.create_task(process.ensure_ready(120))
    await until(lambda: process.alive)
    await process.stop()
    with pytest.raises(EngineError, match="stopped while it started"):
        await waiting
    assert not process.alive


@pytest.mark.slow
async def test_threads_are_tried_with_the_real_engine(
    engine: Capabilities, smollm2: Path, port: int, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def serve(threads: int) -> AsyncIterator[EngineProcess]:
        plan = plan_of(smollm2, threads=threads, context_tokens=512)
        command = llama_cpp.command(plan, caps=engine, port=port, name="small")
        assert isinstance(plan.flags, LlamaFlags)
        assert plan.flags.threads == threads
        process = EngineProcess(command, log_path=tmp_path / "tune.log", diagnose=llama_cpp.diagnose)
        await process.ensure_ready(120)
        yield process
        await process.stop()

    rates = await measure(serve, candidate_counts(2), repeats=1)
    assert list(rates) == [1, 2]
    assert all(rate > 1 for rate in rates.values())
