"""A daemon whose plans don't end: they are refused, and nothing else waits for them."""

import asyncio
import errno
import os
import signal
from pathlib import Path

import pytest

from daemon.isolation import workers
from daemon.isolation.fork_server import ForkServer
from daemon.isolation.workers import Limits
from daemon.planning import computations
from tests.daemon.conftest import Running


@pytest.fixture
def endless_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plan ends within its limits."""
    monkeypatch.setattr(computations, "PLANNING", Limits(deadline_s=0.001, cpu_s=60, at_once=2))


async def test_a_plan_without_an_end_is_refused_with_the_time_it_took(
    daemon: Running, smollm2: Path, endless_plans: None
) -> None:
    async with daemon() as api:
        answer = await api.post("/v1/plan", model=str(smollm2))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "bad_model")
    assert "planning /" in error["message"]
    assert "was ended after 0.001 s" in error["message"]
    assert "doctor --report" in error["hint"]


async def test_an_engine_is_started_again_while_plans_do_not_end(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="served")
        monkeypatch.setattr(computations, "PLANNING", Limits(deadline_s=600, cpu_s=600, at_once=0))
        plans = [asyncio.create_task(api.post("/v1/plan", model=str(smollm2))) for _ in range(12)]
        os.kill(row["pid"], signal.SIGKILL)
        await api.row("served", lambda now: now["state"] == "ready" and now["pid"] not in (None, row["pid"]))
        assert (await api.get("/v1/status")) is not None
        assert not any(plan.done() for plan in plans)
        for plan in plans:
            plan.cancel()


async def test_a_plan_whose_worker_is_lost_is_asked_again_later(
    daemon: Running, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RETRY_DELAYS_S", ())
    async with daemon() as api:
        with monkeypatch.context() as broken:
            broken.setattr(ForkServer, "fork", no_process)
            answer = await api.post("/v1/plan", model=str(smollm2))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "worker_lost")
        assert "Resource temporarily unavailable" in error["message"]
        assert "try again" in error["hint"]
        assert (await api.post("/v1/plan", model=str(smollm2))).status_code == 200


def no_process(server: ForkServer) -> None:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
