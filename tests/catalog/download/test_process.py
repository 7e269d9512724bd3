"""A download's own process: ended by its parent, by a kill, with its parent; it loses nothing it fetched."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import psutil
import pytest

from catalog.download import process
from catalog.download.messages import LINE_BYTES
from catalog.download.throttle import WindowClosedError
from domain.download import DownloadPolicy, DownloadProgress, Window
from domain.errors import BadModelError, DiskFullError, DownloadError
from domain.models.model import Source, WeightFile, Weights
from domain.serialization import to_json
from domain.units import MIB
from tests.catalog.fetched import BIG, content, last, parts, weights
from tests.rigs.hub import Hub

LONG_BYTES = 12 * MIB
PIECE_BYTES = MIB // 4  # that much is written at once
CRAWLING = DownloadPolicy(limit_bytes_per_s=1)  # a piece, and days until the next one
Steps = AsyncGenerator[DownloadProgress, None]


def processes() -> list[psutil.Process]:
    """The downloads that run below this test."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "catalog.download.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def until(check: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


async def begun(steps: Steps) -> None:
    while not (await anext(steps)).bytes_done:
        pass


async def everything(steps: Steps) -> list[DownloadProgress]:
    return [step async for step in steps]


def writes(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """In place of a download, a child that reads its task and runs ``code``."""
    program = f"import os, sys, time; sys.stdin.readline(); {code}"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", program))


@pytest.mark.slow
async def test_ten_kills_at_random_moments_and_the_digest_is_right(
    tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL each time, of the real process, somewhere in what the hub has sent it: the rest is held. The
    download goes on by itself."""
    chance = random.Random(20)  # noqa: S311 - moments and bytes, the same ones each time
    data = chance.randbytes(LONG_BYTES)
    wanted = weights(hub, {"a.gguf": data})
    hub.faults.hold_after_bytes = [chance.randint(PIECE_BYTES, MIB) for _ in range(10)]
    caplog.set_level("INFO", "catalog.download.process")
    killed: list[int] = []

    def size_bytes() -> int:
        return sum(path.stat().st_size for path in parts(tmp_path))

    async def kill() -> None:
        before_bytes = 0
        while len(killed) < 10:
            pids = [record.args[0] for record in caplog.records if record.msg == "download process: pid=%d"]
            asked = 10 - len(hub.faults.hold_after_bytes)  # each has to take one hold away, or one stays held
            if min(len(pids), asked) > len(killed) and size_bytes() > before_bytes:
                os.kill(pids[-1], signal.SIGKILL)
                killed.append(pids[-1])
                before_bytes = size_bytes()
            await asyncio.sleep(0.005)  # the disk is polled

    killer = asyncio.create_task(kill())
    steps = await everything(process.fetch(wanted, tmp_path, DownloadPolicy()))
    killer.cancel()
    assert len(killed) == 10
    assert content(last(steps)) == data, "and the digest was compared before the file had its name"
    assert hub.sent_bytes < 2 * len(data), "each process went on where the last one stopped"
    assert parts(tmp_path) == []


async def test_a_stop_ends_the_process_at_once_and_keeps_what_was_fetched(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    async with aclosing(process.fetch(wanted, tmp_path, CRAWLING)) as steps:
        await begun(steps)
        (child,) = processes()
    assert not child.is_running()
    assert parts(tmp_path)[0].stat().st_size > 0
    assert content(last(await everything(process.fetch(wanted, tmp_path, DownloadPolicy())))) == BIG


async def test_who_is_cancelled_leaves_no_process_behind(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    fetching = asyncio.create_task(everything(process.fetch(wanted, tmp_path, CRAWLING)))
    while not parts(tmp_path):  # noqa: ASYNC110 - the disk is polled
        await asyncio.sleep(0.01)
    (child,) = processes()
    fetching.cancel()
    await asyncio.wait({fetching})
    assert not child.is_running()


async def test_a_process_that_hangs_is_killed(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    wanted = weights(hub, {"a.gguf": BIG})
    async with aclosing(process.fetch(wanted, tmp_path, CRAWLING)) as steps:
        await begun(steps)
        (child,) = processes()
        child.send_signal(signal.SIGSTOP)
    assert not child.is_running()


async def test_it_ends_with_the_daemon_that_started_it_and_the_next_one_resumes(
    tmp_path: Path, hub: Hub
) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    code = (
        "import asyncio, sys, json; from pathlib import Path; from catalog.download import process;"
        "from domain.download import DownloadPolicy; from domain.models.model import Weights;"
        "from domain.serialization import from_json;"
        "steps = process.fetch(from_json(Weights, json.loads(sys.argv[1])), Path(sys.argv[2]),"
        " DownloadPolicy(limit_bytes_per_s=1));"
        "exec('async def main():\\n async for _ in steps: pass'); asyncio.run(main())"
    )
    argv = [sys.executable, "-c", code, json.dumps(to_json(wanted)), str(tmp_path)]
    daemon = await asyncio.to_thread(subprocess.Popen, argv)
    await asyncio.to_thread(until, lambda: parts(tmp_path) and parts(tmp_path)[0].stat().st_size)
    (child,) = processes()
    daemon.kill()
    await asyncio.to_thread(daemon.wait)
    await asyncio.to_thread(until, lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert content(last(await everything(process.fetch(wanted, tmp_path, DownloadPolicy())))) == BIG
    assert hub.gets("/cdn/")[-1].headers.get("Range", "").startswith("bytes=")


async def test_two_processes_that_want_the_same_file_fetch_it_once(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    hub.faults.hold_after_bytes = [MIB]
    first = process.fetch(wanted, tmp_path, DownloadPolicy())
    await begun(first)
    second = process.fetch(wanted, tmp_path, DownloadPolicy())
    while (step := await anext(second)).waiting is None:
        pass
    assert step.waiting == "another process fetches it"
    hub.go_on()
    assert content(last(await everything(first))) == BIG
    assert content(last(await everything(second))) == BIG
    assert hub.sent_bytes == len(BIG)


async def test_errors_come_through_with_their_numbers(tmp_path: Path, hub: Hub) -> None:
    hub.faults.gated = {"o/r"}
    with pytest.raises(DownloadError, match="gated") as gated:
        await everything(process.fetch(weights(hub), tmp_path, DownloadPolicy()))
    assert "accept it at" in gated.value.hint
    with pytest.raises(DiskFullError) as full:
        await everything(process.fetch(weights(hub), tmp_path, DownloadPolicy(reserve_bytes=1 << 60)))
    assert full.value.reserve_bytes == 1 << 60
    assert full.value.needs_bytes > 1 << 60 > full.value.free_bytes
    out = Weights(Source.HUB, "o/r", "0" * 40, (WeightFile("../out", 10),), "Q8_0", 10)
    with pytest.raises(BadModelError, match="leads out"):
        await everything(process.fetch(out, tmp_path, DownloadPolicy()))


async def test_out_of_hours_the_process_ends(tmp_path: Path, hub: Hub) -> None:
    minute = time.localtime().tm_hour * 60 + time.localtime().tm_min
    begin_min = (minute + 120) % 1440  # two hours from now, whatever the time is
    policy = DownloadPolicy(window=Window(begin_min, (begin_min + 60) % 1440))
    with pytest.raises(WindowClosedError):
        await everything(process.fetch(weights(hub), tmp_path, policy))
    assert processes() == []
    assert hub.gets("/cdn/") == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        pytest.param("os.abort()", "signal 6", id="killed"),
        pytest.param("os.write(1, b'{\"bytes_done\": 1'); os.kill(os.getpid(), 9)", "signal 9", id="torn"),
        pytest.param("print('Killed')", "it wrote b'Killed", id="no JSON"),
        pytest.param("print('[' * 100000)", "it wrote b'\\[\\[", id="nested without an end"),
        pytest.param("print('7')", "it wrote b'7", id="no object"),
        pytest.param("print('{\"error\": {}}')", "it wrote", id="an error without its code"),
        pytest.param('print(\'{"bytes_done": "x"}\')', "it wrote", id="another type"),
        pytest.param(f"print('x' * {2 * LINE_BYTES})", f"longer than {LINE_BYTES} bytes", id="too long"),
        pytest.param("os.close(1); time.sleep(60)", "closed its output", id="no output"),
    ],
)
async def test_a_process_that_says_no_sense_died_and_is_not_started_for_ever(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    if "time.sleep" in code:
        monkeypatch.setattr(process, "GRACE_S", 0.2)
    writes(monkeypatch, code)
    with pytest.raises(DownloadError, match=f"died 5 times: .*{says}"):
        await everything(process.fetch(weights(hub), tmp_path, DownloadPolicy()))


async def test_a_program_that_is_gone_is_told(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", (str(tmp_path / "none"),))
    with pytest.raises(DownloadError, match="can't be started: No such file"):
        await everything(process.fetch(weights(hub), tmp_path, DownloadPolicy()))
