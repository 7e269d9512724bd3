"""The disk of the state is full: what runs is stopped, restarted and served all the same, and nothing is told
as done that is not on that disk. A real file system of 2 MiB."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from daemon.launches import persistence
from tests.daemon.conftest import Api, Running, alive
from tests.rigs.frozen_disk import frozen_disk

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


async def fill(api: Api, disk: Disk) -> None:
    """Until not even the log of the state has room: what it has after a copy is used again."""

    def truncate_and_fill() -> None:
        with api.app.store.database.reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        disk.fill()

    async with api.app.store.copies._lock:  # a copy under way would leave room when it ends
        await api.app.store.run(truncate_and_fill)  # nothing is written between, in the store's one thread


async def test_a_stop_stops_and_says_that_it_could_not_be_stored(
    daemon: Running, smollm2: Path, disk: Disk
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        await fill(api, disk)
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
        await fill(api, disk)
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


async def check_serving(api: Api, pid: int) -> None:
    row = await api.row("tiny", lambda row: row["state"] == "ready")
    assert row["pid"] == pid
    assert (await api.post("/v1/launches/tiny/restart")).status_code == 202
    await api.row("tiny", lambda row: row["state"] == "ready" and row["pid"] not in (None, pid))


async def test_a_copy_of_the_state_that_finds_the_disk_full_disturbs_nothing(
    daemon: Running, smollm2: Path, disk: Disk
) -> None:
    async with daemon() as api:
        row = await api.launched(smollm2, name="tiny")
        await asyncio.to_thread(disk.fill)
        await api.app.store.copies.refresh(is_last=True)
        assert "no room for a copy of the state" in (api.app.store.copies.problem or "")
        problems = (await api.get("/v1/status"))["problems"]
        assert any("no copy of the state could be made" in problem["what"] for problem in problems)
        await asyncio.to_thread(disk.empty)
        await check_serving(api, row["pid"])
        await api.app.store.copies.refresh(is_last=True)
        assert api.app.store.copies.problem is None


async def test_nor_one_that_finds_it_read_only(daemon: Running, smollm2: Path, settings: Settings) -> None:
    copies = settings.state_dir / "copies"
    copies.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(copies)]
    await asyncio.to_thread(subprocess.run, mount, check=True)
    try:
        async with daemon() as api:
            row = await api.launched(smollm2, name="tiny")
            await api.app.store.copies.refresh(is_last=True)
            assert "Read-only file system" in (api.app.store.copies.problem or "")
            await check_serving(api, row["pid"])
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(copies)], check=True)


async def test_nor_one_that_hangs(daemon: Running, smollm2: Path, settings: Settings, tmp_path: Path) -> None:
    with frozen_disk(tmp_path) as disk:
        async with daemon() as api:
            row = await api.launched(smollm2, name="tiny")
            copies = settings.state_dir / "copies"
            await asyncio.to_thread(shutil.rmtree, copies, ignore_errors=True)
            await asyncio.to_thread(copies.symlink_to, disk.path)
            await asyncio.to_thread(disk.freeze)
            try:
                copying = asyncio.create_task(api.app.store.copies.refresh(is_last=True))
                await check_serving(api, row["pid"])
                assert not copying.done()
            finally:
                await asyncio.to_thread(disk.thaw)
            await copying
            assert api.app.store.copies.problem is None
            assert await asyncio.to_thread((copies / "state.db.1").is_file)


async def test_a_damaged_state_on_a_full_disk_is_served_from_its_copy(
    daemon: Running, smollm2: Path, disk: Disk, settings: Settings
) -> None:
    async with daemon() as api:
        await api.launched(smollm2, name="tiny")

    def break_it() -> None:
        path = settings.state_dir / "state.db"
        with path.open("r+b") as file:
            file.write(bytes(4096))
        disk.fill()

    await asyncio.to_thread(break_it)
    async with daemon() as api:
        await api.row("tiny", lambda row: row["state"] == "ready")
        assert api.app.store.database.read_only_because is not None
        await asyncio.to_thread(disk.empty)
        await persistence.flush(api.app)
        assert api.app.store.database.read_only_because is None
        assert (await api.post("/v1/launches/tiny/stop")).status_code == 200
