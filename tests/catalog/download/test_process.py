"""A download's own process: ended by a word, by a kill, by its daemon's end; what is here is never lost."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from catalog.download import process
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import BadModelError, DiskFullError, DownloadError
from domain.model import Source, WeightFile, Weights
from domain.serialization import to_json
from domain.units import MIB
from tests.catalog.fetched import BIG, SLOW, close, content, last, parts, weights
from tests.rigs.hub import Hub

LONG_BYTES = 12 * MIB
CRAWLING = DownloadPolicy(limit_bytes_per_s=2 * MIB)


def processes() -> list[psutil.Process]:
    """The downloads that run below this test."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "catalog.download.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def until(check: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def begun(steps: Iterator[DownloadProgress]) -> None:
    while not next(steps).bytes_done:
        pass


def test_ten_kills_at_random_moments_and_the_digest_is_right(
    tmp_path: Path, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL each time, of the real process; the download goes on by itself."""
    chance = random.Random(20)  # noqa: S311 - moments and bytes, the same ones each time
    data = chance.randbytes(LONG_BYTES)
    wanted = weights(hub, {"a.gguf": data})
    caplog.set_level("INFO", "catalog.download.process")
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        before_bytes = 0
        while len(killed) < 10 and not over.is_set():
            size_bytes = sum(path.stat().st_size for path in parts(tmp_path))
            begun = [record.args[0] for record in caplog.records if record.msg == "download process: pid=%d"]
            if len(begun) > len(killed) and size_bytes > before_bytes:
                time.sleep(chance.uniform(0, 0.05))
                os.kill(begun[-1], signal.SIGKILL)
                killed.append(begun[-1])
                before_bytes = sum(path.stat().st_size for path in parts(tmp_path))
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        done = last(process.fetch(wanted, tmp_path, DownloadPolicy(limit_bytes_per_s=4 * MIB)))
    finally:
        over.set()
        killer.join()
    assert len(killed) == 10
    assert content(done) == data, "and the digest was compared before the file had its name"
    assert hub.sent_bytes < 2 * len(data), "each process went on where the last one stopped"
    assert parts(tmp_path) == []


def test_a_stop_ends_the_process_at_once_and_keeps_what_is_here(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    steps = process.fetch(wanted, tmp_path, CRAWLING)
    begun(steps)
    (child,) = processes()
    close(steps)
    assert not child.is_running()
    assert parts(tmp_path)[0].stat().st_size > 0
    assert content(last(process.fetch(wanted, tmp_path, DownloadPolicy()))) == BIG


def test_a_process_that_hangs_is_killed(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    steps = process.fetch(weights(hub, {"a.gguf": BIG}), tmp_path, CRAWLING)
    begun(steps)
    (child,) = processes()
    child.send_signal(signal.SIGSTOP)
    close(steps)
    assert not child.is_running()


def test_it_ends_with_the_daemon_that_started_it_and_the_next_one_resumes(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    code = (
        "import sys, json; from pathlib import Path; from catalog.download import process;"
        "from domain.download import Terms; from domain.model import Weights;"
        "from domain.serialization import from_json;"
        "[0 for _ in process.fetch(from_json(Weights, json.loads(sys.argv[1])), Path(sys.argv[2]),"
        f" Terms(limit_bytes_per_s={MIB}))]"
    )
    daemon = subprocess.Popen([sys.executable, "-c", code, json.dumps(to_json(wanted)), str(tmp_path)])
    until(lambda: parts(tmp_path) and parts(tmp_path)[0].stat().st_size)
    (child,) = processes()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert content(last(process.fetch(wanted, tmp_path, DownloadPolicy()))) == BIG
    assert hub.gets("/cdn/")[-1].headers.get("Range", "").startswith("bytes=")


def test_two_processes_that_want_the_same_file_fetch_it_once(tmp_path: Path, hub: Hub) -> None:
    wanted = weights(hub, {"a.gguf": BIG})
    first = process.fetch(wanted, tmp_path, CRAWLING)
    begun(first)
    second = process.fetch(wanted, tmp_path, SLOW)
    assert next(step.waiting for step in second if step.waiting) == "another process fetches it"
    assert content(last(first)) == BIG
    assert content(last(second)) == BIG
    assert hub.sent_bytes == len(BIG)


def test_errors_come_through_with_their_numbers(tmp_path: Path, hub: Hub) -> None:
    hub.faults.gated = {"o/r"}
    with pytest.raises(DownloadError, match="gated") as gated:
        list(process.fetch(weights(hub), tmp_path, DownloadPolicy()))
    assert "accept it at" in gated.value.hint
    with pytest.raises(DiskFullError) as full:
        list(process.fetch(weights(hub), tmp_path, DownloadPolicy(reserve_bytes=1 << 60)))
    assert full.value.reserve_bytes == 1 << 60
    assert full.value.needs_bytes > 1 << 60 > full.value.free_bytes
    out = Weights(Source.HUB, "o/r", "0" * 40, (WeightFile("../out", 10),), "Q8_0", 10)
    with pytest.raises(BadModelError, match="leads out"):
        list(process.fetch(out, tmp_path, DownloadPolicy()))


def test_a_process_that_can_not_live_is_not_started_for_ever(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "import os; os.abort()"))
    with pytest.raises(DownloadError, match="died 5 times: signal 6"):
        list(process.fetch(weights(hub), tmp_path, DownloadPolicy()))
