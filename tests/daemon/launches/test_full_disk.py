"""The disk of the state is full: what runs is stopped, restarted and served all the same, and nothing is told
as done that is not on that disk. A real file system of 2 MiB."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.launches import persistence
from tests.daemon.conftest import Running, alive

pytestmark = pytest.mark.root


class Disk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "fill").open("wb", buffering=0) as file:
            for size_bytes in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size_bytes)
                except OSError:
                    continue

    def empty(self) -> None:
        (self.folder / "fill").unlink()


@pytest.fixture
def disk(tmp_path: Path, settings: Settings) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    object.__setattr__(settings, "state_dir", folder / "state")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_stop_stops_and_says_that_it_could_not_be_stored(
    daemon: Running, smollm2: Path, disk: Disk
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        await asyncio.to_thread(disk.fill)
        answer = await api.post("/v1/launches/tiny/stop")
        assert answer.status_code == 500
        assert answer.json()["error"]["message"].startswith("tiny is stopped, but that could not be stored")
        assert not alive(row["pid"])
        assert (await api.get("/v1/launches"))[0]["state"] == "stopped"
        await asyncio.to_thread(disk.empty)
        await persistence.flush(api.app)
        record = await api.app.store.run(api.app.store.launches.get, "tiny")
        assert record is not None
        assert not record.desired
        assert (await api.post("/v1/launches/tiny/stop")).status_code == 200


async def test_a_launch_that_can_not_be_stored_is_refused(daemon: Running, smollm2: Path, disk: Disk) -> None:
    async with daemon() as api:
        await asyncio.to_thread(disk.fill)
        answer = await api.post("/v1/launches", model=str(smollm2), name="tiny", threads=1)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "state_failed"
        assert await api.get("/v1/launches") == []


async def test_an_engine_that_crashes_is_served_again(daemon: Running, smollm2: Path, disk: Disk) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        await asyncio.to_thread(disk.fill)
        os.kill(row["pid"], signal.SIGKILL)
        after = await api.row(
            "tiny", lambda now: now["state"] == "ready" and now["pid"] not in (None, row["pid"])
        )
        assert alive(after["pid"])
    assert not alive(after["pid"])


async def test_a_daemon_that_starts_serves_what_was_desired(
    daemon: Running, smollm2: Path, disk: Disk
) -> None:
    """From a copy of the state, and says so; it is written again once there is room."""
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")
    await asyncio.to_thread(disk.fill)
    async with daemon() as api:
        await api.row("tiny", lambda row: row["state"] == "ready")
        assert api.app.store.database.read_only_because is not None
        problems = (await api.get("/v1/status"))["problems"]
        assert any("can't be written" in problem["what"] for problem in problems)
        await asyncio.to_thread(disk.empty)
        await persistence.flush(api.app)
        assert api.app.store.database.read_only_because is None
        assert '"kind": "state_writable"' in (await api.http.get("/v1/events")).text
        assert (await api.post("/v1/launches/tiny/stop")).status_code == 200
