"""A worker's answer, and how it is ended: by its deadline, its memory, its caller, its daemon."""

import asyncio
import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.isolation import workers as isolation_workers
from daemon.isolation.ended import WorkerLimitError
from daemon.isolation.fork_server import ForkServer
from daemon.isolation.workers import Limits, Workers
from domain.errors import DoesNotFitError, WorkerLostError
from domain.machine.hardware import MemoryKind
from domain.units import MIB
from tests.daemon.isolation import work

LONG = Limits(deadline_s=300, cpu_s=60, at_once=4)
SHORT = Limits(deadline_s=0.5, cpu_s=30, at_once=4)


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(["tests.daemon.isolation.work"])
    yield server
    server.close()


@pytest.fixture
def workers(server: ForkServer) -> Workers:
    return Workers(server)


async def test_answers_come_back_as_values(workers: Workers):
    assert await workers.run("adding", work.add, 2, 3, limits=LONG) == 5
    for shape in (work.shape, work.shape_without_tensors):
        assert await workers.run("reading", shape, limits=LONG) == shape()


async def test_each_call_has_a_process_of_its_own(workers: Workers):
    pids = await asyncio.gather(*(workers.run("asking", work.process_id, limits=LONG) for _ in range(8)))
    assert len({*pids, os.getpid()}) == 9


async def test_a_refusal_is_the_same_error_here(workers: Workers):
    with pytest.raises(DoesNotFitError, match=r"needs 3\.0 GiB") as caught:
        await workers.run("planning m", work.refuse, limits=LONG)
    assert "take a smaller one" in caught.value.hint
    assert (caught.value.needs_bytes, caught.value.has_bytes) == (3 << 30, 1 << 30)


async def test_a_bug_comes_with_the_workers_traceback(workers: Workers):
    with pytest.raises(RuntimeError, match=r"(?s)planning m broke.*in break_down.*ZeroDivisionError: a bug"):
        await workers.run("planning m", work.break_down, limits=LONG)


async def test_a_bug_tells_no_password_of_a_url(workers: Workers):
    with pytest.raises(RuntimeError, match="https://host/m broke") as caught:
        await workers.run("planning https://me:word@host/m", work.break_down, limits=LONG)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("endless", [work.never_end, work.multiply_long_numbers])
async def test_what_never_ends_is_ended_with_the_time_and_memory_it_took(workers: Workers, endless):
    with pytest.raises(
        WorkerLimitError, match=r"planning m was ended after 0\.5 s \(\d.* s of CPU time, \d+"
    ):
        await workers.run("planning m", endless, limits=SHORT)
    assert await workers.run("adding", work.add, 2, 3, limits=LONG) == 5


async def test_a_limit_of_cpu_time_holds_where_the_deadline_is_far(workers: Workers):
    with pytest.raises(WorkerLimitError, match=r"after 1 s of CPU time \(\d\.\d s"):
        await workers.run("reading m", work.never_end, limits=Limits(300, 1, 4))


async def test_memory_has_a_limit(workers: Workers):
    with pytest.raises(WorkerLimitError, match=r"it needed more than 512 MiB"):
        await workers.run("reading m", work.fill_memory, limits=Limits(300, 60, 4, 512 * MIB))


async def test_a_worker_that_dies_is_told(workers: Workers):
    with pytest.raises(
        WorkerLimitError, match=r"reading m crashed with SIGABRT \(\d+\.\d s of CPU time, \d+"
    ):
        await workers.run("reading m", work.die, limits=LONG)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_somebody_ends_is_no_fault_of_what_it_read(
    workers: Workers, number: signal.Signals
):
    said = rf"reading m was ended by {number.name} from outside \(\d+\.\d s of CPU time, \d+"
    with pytest.raises(WorkerLostError, match=said):
        await workers.run("reading m", work.end_by, number, limits=LONG)


async def test_a_worker_that_the_kernel_ends_for_memory_says_so(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    counts = iter((2, 3))
    monkeypatch.setattr(isolation_workers, "count_oom_kills", lambda: next(counts))
    with pytest.raises(WorkerLostError, match=r"killed by the kernel, out of memory \(.*B\)") as caught:
        await workers.run("reading m", work.end_by, signal.SIGKILL, limits=LONG)
    assert "node-ctl stop" in caught.value.hint


async def test_a_caller_that_goes_away_ends_the_work(workers: Workers, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    call = asyncio.create_task(workers.run("sleeping", work.hold_open, str(pipe), limits=LONG))
    with await asyncio.to_thread(pipe.open) as held:  # returns once the worker has opened it to write
        call.cancel()
        assert await asyncio.to_thread(held.read) == "", "it ends with the worker"
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_fork_server_that_was_killed_is_started_again(workers: Workers, server: ForkServer):
    assert await workers.run("adding", work.add, 2, 3, limits=LONG) == 5
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert await workers.run("adding", work.add, 3, 3, limits=LONG) == 6


async def test_a_fork_server_that_is_killed_each_time_is_told_and_comes_back(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(isolation_workers, "RETRY_DELAYS_S", (0.0, 0.01))
    with pytest.raises(
        WorkerLostError, match=r"planning m was tried 3 times: the fork server was ended"
    ) as caught:
        await workers.run("planning m", work.end_the_fork_server, limits=LONG)
    assert "try again" in caught.value.hint
    assert await workers.run("adding", work.add, 3, 3, limits=LONG) == 6


async def test_an_answer_that_is_more_than_data_is_refused(workers: Workers):
    with pytest.raises(pickle.UnpicklingError, match="is no data"):
        await workers.run("reading m", work.trap, limits=LONG)


async def test_members_of_enums_come_back_as_python_3_11_2_pickles_them(workers: Workers):
    assert await workers.run("reading m", work.member, limits=LONG) is MemoryKind.UNIFIED
    with pytest.raises(pickle.UnpicklingError, match=r"mro of .* is no data"):
        await workers.run("reading m", work.method, limits=LONG)
