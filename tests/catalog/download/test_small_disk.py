"""A disk that fills up in the middle: a real file system of 96 MiB in a mount namespace of its own."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from catalog.download import process
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import DiskFullError
from domain.units import MIB
from tests.catalog.fetched import blob, parts, weights
from tests.rigs.hub import Hub

pytestmark = pytest.mark.root
DATA = os.urandom(16 * MIB)
POLICY = DownloadPolicy(limit_bytes_per_s=8 * MIB)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The small file system as this process sees it; downloads see it at ``tmp_path``."""
    mount = f'mount -t tmpfs -o size=96m tmpfs "{tmp_path}" && echo mounted && exec cat'
    argv = ["unshare", "--mount", "sh", "-c", mount]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        enter = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
        monkeypatch.setattr(process, "COMMAND", (*enter, *process.COMMAND))
        yield Path(f"/proc/{holder.pid}/root{tmp_path}")
        holder.stdin.close()


def fill(disk: Path) -> Path:
    """Something else takes the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(MIB))
    return filler


async def until(
    steps: AsyncGenerator[DownloadProgress, None], fits: Callable[[DownloadProgress], object]
) -> DownloadProgress:
    while not fits(step := await anext(steps)):
        pass
    return step


async def test_it_is_paused_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path, hub: Hub, disk: Path
) -> None:
    steps = process.fetch(weights(hub, {"a.gguf": DATA}), tmp_path, POLICY)
    await until(steps, lambda step: step.bytes_done)
    filler = await asyncio.to_thread(fill, disk)
    paused = await until(steps, lambda step: step.waiting)
    assert paused.waiting is not None
    assert paused.waiting.startswith("the disk is full: ")
    assert paused.waiting.endswith(" to come, 0 MiB free")
    (part,) = parts(disk)
    kept_bytes = part.stat().st_size
    assert 0 < kept_bytes < len(DATA)
    assert [(await anext(steps)).waiting for _ in range(3)] == [paused.waiting] * 3, "it waits"
    assert await asyncio.to_thread(part.read_bytes) == DATA[:kept_bytes]
    filler.unlink()
    assert [step async for step in steps][-1].weights is not None
    assert hub.gets("/cdn/")[-1].headers["Range"] == f"bytes={kept_bytes}-", "nothing was lost"
    assert await asyncio.to_thread(blob(disk, DATA).read_bytes) == DATA


async def test_a_stop_while_it_is_paused_keeps_what_was_fetched(tmp_path: Path, hub: Hub, disk: Path) -> None:
    wanted = weights(hub, {"a.gguf": DATA})
    async with aclosing(process.fetch(wanted, tmp_path, POLICY)) as steps:
        await until(steps, lambda step: step.bytes_done)
        filler = await asyncio.to_thread(fill, disk)
        await until(steps, lambda step: step.waiting)
    with pytest.raises(DiskFullError):
        await anext(process.fetch(wanted, tmp_path, POLICY))
    (part,) = parts(disk)
    kept_bytes = part.stat().st_size
    filler.unlink()
    done = [step async for step in process.fetch(wanted, tmp_path, DownloadPolicy())]
    assert done[-1].weights is not None
    assert hub.gets("/cdn/")[-1].headers["Range"] == f"bytes={kept_bytes}-"
