"""Launches and stops, one after the other, with the real engine: the machine is as it was before.

``SOAK`` sets how many: ``make soak`` has a thousand.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.daemon.test_child import Child, start, until

__all__ = ["start"]  # the fixture

LAUNCHES = int(os.environ.get("SOAK", "40"))
POOLED = 16  # threads that pools may begin later, a descriptor each
FIRST = 8  # until all that is loaded and kept once has been
SHARED_MEMORY = Path("/dev/shm")
RSS_GROWTH = 0.1  # between the halves of the launches, of the daemon's memory


@dataclass(frozen=True)
class Held:
    """What the daemon, and the engines that it started, hold of the machine; memory apart."""

    processes: Counter[str]
    listeners: int
    descriptors: int
    threads: int
    shared_memory: frozenset[str]
    temporary: frozenset[str]
    files: frozenset[str]


def held(child: Child) -> Held:
    daemon = psutil.Process(child.process.pid)
    family = [daemon, *daemon.children(recursive=True)]
    return Held(
        Counter(one.name() for one in family if one.status() != psutil.STATUS_ZOMBIE),
        sum(len(listening(one)) for one in family),
        daemon.num_fds(),
        daemon.num_threads(),
        frozenset(path.name for path in SHARED_MEMORY.iterdir()),
        frozenset(path.name for path in (child.folder / "tmp").iterdir()),
        frozenset(str(path.relative_to(child.folder)) for path in child.folder.rglob("*") if is_kept(path)),
    )


def listening(process: psutil.Process) -> list[object]:
    return [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]


def is_kept(path: Path) -> bool:
    """SQLite's log and its index come and go, and a copy of the state is made when it changed."""
    return not path.name.endswith(("-wal", "-shm")) and "copies" not in path.parts


def left(now: Held, before: Held) -> dict[str, object]:
    """What is held now and was not before; {} if nothing is."""
    more = {
        "processes": now.processes - before.processes,
        "listeners": max(0, now.listeners - before.listeners),
        "descriptors": max(0, now.descriptors - before.descriptors - POOLED),
        "threads": max(0, now.threads - before.threads - POOLED),
        "temporary": now.temporary - before.temporary,
        "files": now.files - before.files,
    }
    return {what: found for what, found in more.items() if found}


def turn(child: Child, number: int, model: Path) -> None:
    """Most launches are served and stopped. Of ten, one is stopped while it loads, the engine of one is
    killed and served again, and one can't be started."""
    kind = number % 10
    tokens = 1_000_000 if kind == 3 else 512
    child.post("/v1/launches", name="tiny", model=str(model), context_tokens=tokens, threads=1)
    if kind == 3:
        assert child.last_step("tiny")["code"] == "bad_usage"
        return
    if kind != 5:
        assert child.last_step("tiny")["step"] == "ready"
    if kind == 7:
        before = child.row("tiny")["pid"]
        os.kill(before, signal.SIGKILL)
        until(lambda: child.row("tiny")["state"] == "ready" and child.row("tiny")["pid"] != before)
    assert child.post("/v1/launches/tiny/stop", forget=True)["state"] == "stopped"


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(600 + 20 * LAUNCHES)
def test_launches_and_stops_leave_nothing(start: Callable[..., Child], smollm2: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    shared = frozenset(path.name for path in SHARED_MEMORY.iterdir())
    child = start(TMPDIR=str(tmp_path / "tmp")).up()
    daemon = psutil.Process(child.process.pid)
    for number in range(FIRST):
        turn(child, number, smollm2)
    before, sizes = held(child), [daemon.memory_info().rss]
    for number in range(LAUNCHES):
        turn(child, number, smollm2)
        if number in (LAUNCHES // 2, LAUNCHES - 1):
            sizes.append(daemon.memory_info().rss)
    print(f"{LAUNCHES} launches, resident MiB: {[size >> 20 for size in sizes]}, {before}")
    with suppress(AssertionError):
        until(lambda: left(held(child), before) == {})
    assert left(held(child), before) == {}
    ours = {name for name in held(child).shared_memory - shared if name.startswith(("sem.", "node-daemon"))}
    assert ours == set()
    assert child.get("/v1/launches") == []
    assert sizes[2] <= (1 + RSS_GROWTH) * sizes[1]
