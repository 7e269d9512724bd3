"""The guard on the event loop catches what it is there for, in each kind of call that rooms make."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: time.sleep(0.01), id="a sleep"),
        pytest.param(lambda: Path("/etc/hostname").read_text(), id="a file"),
        pytest.param(lambda: sqlite3.connect(":memory:").execute("select 1"), id="SQLite"),
    ],
)
async def test_a_blocking_call_in_a_room_fails_the_test(
    call, no_blocking_calls_on_the_event_loop: BlockBuster
):
    no_blocking_calls_on_the_event_loop.deactivate()
    with blockbuster_ctx(scanned_modules=["tests.test_guard"]), pytest.raises(BlockingError):
        call()


async def test_the_same_call_in_a_thread_is_fine():
    await asyncio.to_thread(time.sleep, 0.01)
