"""Jobs of the schedule, which a stop may break off at any time."""

import asyncio
import threading

import pytest

from daemon.app import Adapters
from domain.machine.hardware import Hardware
from tests.daemon.conftest import Running


async def test_a_look_that_a_stop_breaks_off_is_no_error(
    daemon: Running, adapters: Adapters, caplog: pytest.LogCaptureFixture
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def probe() -> Hardware:
        began.set()
        may_end.wait(60)
        return Hardware()

    object.__setattr__(adapters, "probe", probe)
    async with daemon():
        assert await asyncio.to_thread(began.wait, 60)
    may_end.set()
    while ending := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(ending)  # then the scheduler has told of its jobs' ends
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
