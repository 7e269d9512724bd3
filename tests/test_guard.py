"""The guard on the event loop catches what it is there for, in each kind of call that rooms make."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

from tests.conftest import ROOT

# The exception of pytest-timeout ends the loop, and becomes that of a task which nobody asks.
ENDLESS = """
import asyncio

async def test_endless():
    async def endless():
        while True:
            pass
    await asyncio.wait([asyncio.create_task(endless())])
"""


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


def test_a_test_whose_time_ran_out_fails_where_a_task_took_the_exception(tmp_path: Path):
    (tmp_path / "test_endless.py").write_text(ENDLESS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    options = [
        "-c",
        "/dev/null",
        "--rootdir",
        tmp_path,
        "-o",
        "asyncio_mode=auto",
        "-o",
        "timeout=1",
        tmp_path,
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "its time ran out: 1 s" in done.stdout
