"""Small parts: progress, notify, logs, disks, names of errors."""

import asyncio
import json
import logging
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from daemon.api.errors import STATUS
from daemon.app import App, environments
from daemon.events.broadcast import Broadcast
from daemon.events.event_log import EventLog
from daemon.events.guard_state import GuardState
from daemon.events.progress_log import ProgressLog
from daemon.launches import log_tail
from daemon.launches.launch import Launch
from daemon.launches.log_tail import read
from daemon.launches.names import name_of
from daemon.log_format import JournalFormatter, goes_to_journal
from daemon.machine.cache import HardwareCache
from daemon.machine.snapshot import probe_now, without_own_processes
from daemon.quarantine.in_flight import InFlight
from daemon.state.records import LaunchRequest
from daemon.state.store import Store
from daemon.systemd_notify import SystemdNotifier
from domain import errors
from domain.launches.launch import Progress, Step
from domain.launches.plan import LaunchOptions
from domain.machine.accelerator import GpuProcess
from domain.machine.hardware import Gpu, Hardware
from domain.serialization import to_json
from launchers import query
from tests.daemon.conftest import known_bandwidth
from tests.daemon.state.test_store import PLAN
from tests.rigs.trees import plant

MIB = 1024**2


def bytes_line(done: int) -> Progress:
    return Progress(Step.DOWNLOAD, "moving", 0.0, bytes_done=done, bytes_total=9)


async def test_who_follows_late_sees_only_the_last_count_of_bytes() -> None:
    track = ProgressLog()
    track.say(Step.DOWNLOAD, "begins")
    for done in (1, 2, 3):
        track.add(bytes_line(done))
    assert [line.bytes_done for line in track.lines] == [None, 3]


async def test_who_follows_from_the_start_sees_each_line_once_and_the_end() -> None:
    track = ProgressLog()
    seen: list[Progress] = []

    async def follow() -> None:
        async for line in track.follow():
            seen.append(line)  # noqa: PERF401 - one after the other

    following = asyncio.create_task(follow())
    lines = (bytes_line(1), bytes_line(2), Progress(Step.READY, "done", 0.0))
    for number, line in enumerate(lines, 1):
        track.add(line)
        while len(seen) < number:  # noqa: ASYNC110 - it is about to see it
            await asyncio.sleep(0)
    await following
    assert [line.bytes_done for line in seen] == [1, 2, None]


async def test_following_ends_when_the_daemon_does() -> None:
    track = ProgressLog()
    following = asyncio.create_task(anext(track.follow(), None))
    await asyncio.sleep(0)  # it has begun
    track.close()
    assert await following is None


def test_a_manager_at_an_abstract_address_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0node-daemon-test-" + str(os.getpid()))
        manager.settimeout(5)
        SystemdNotifier({"NOTIFY_SOCKET": f"@node-daemon-test-{os.getpid()}"})("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"


def test_a_manager_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})("READY=1")
    SystemdNotifier({})("READY=1")


@pytest.mark.parametrize(
    ("environ", "period_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_when_it_is_meant_for_us(environ: dict[str, str], period_s: float) -> None:
    assert SystemdNotifier(environ).watchdog_s == period_s


def test_the_journal_gets_levels_and_no_times() -> None:
    record = logging.LogRecord("room", logging.WARNING, "", 0, "two\nlines", (), None)
    assert JournalFormatter("%(name)s: %(message)s").format(record) == "<4>room: two\n<4>lines"
    stat = os.fstat(sys.__stderr__.fileno()) if sys.__stderr__ else os.fstat(2)
    assert goes_to_journal(2, {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
    assert not goes_to_journal(2, {"JOURNAL_STREAM": "1:1"})
    assert not goes_to_journal(2, {})


async def test_a_log_is_followed_over_its_rotation(tmp_path: Path) -> None:
    path, ended = tmp_path / "engine.log", Broadcast()
    path.write_text("".join(f"line {number}\n" for number in range(5000)))
    tail = read(path, 2, follow=True, ended=ended)
    assert await anext(tail) == b"line 4998\nline 4999\n"
    path.write_text("cut\n")
    assert await anext(tail) == b"cut\n"
    ended.close()
    assert await anext(tail, b"end") == b"end"


async def test_a_quiet_log_is_followed_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, since = [], log_tail._since

    def counted(path: Path, position: int) -> tuple[bytes, int]:
        looks.append(position)
        return since(path, position)

    monkeypatch.setattr(log_tail, "POLL_S", 0.01)
    monkeypatch.setattr(log_tail, "_since", counted)
    ended = Broadcast()
    before = len(asyncio.all_tasks())

    async def follow() -> None:
        async for _ in read(tmp_path / "none", 1, follow=True, ended=ended):
            pass

    following = asyncio.create_task(follow())
    while len(looks) < 20:  # noqa: ASYNC110 - files send no events
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) <= before + 2
    ended.close()
    await following
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert [part async for part in read(tmp_path / "none", 5, follow=False, ended=Broadcast())] == []


def test_an_address_is_shown_without_its_secrets() -> None:
    address = "https://me:hunter2@example.org/m/a.gguf?sig=s3cret"
    plan = replace(PLAN, model=address, weights=replace(PLAN.weights, repo=address))
    launch = Launch(LaunchRequest(name_of(address), address, LaunchOptions()), plan=plan)
    shown = json.dumps(to_json(launch.details()))
    assert launch.name == "a"
    assert "example.org/m/a.gguf" in shown
    assert "hunter2" not in shown
    assert "s3cret" not in shown


async def test_an_engine_is_asked_again_once_the_devices_are_others(tmp_path: Path) -> None:
    path = "/usr/bin/env"
    question = ("cat", "/proc/sys/kernel/random/uuid")
    first = await asyncio.to_thread(query.answer, path, question)
    machines = iter((Hardware(), Hardware(), Hardware(gpus=(Gpu("x", "amd", "X"),))))
    adapters = SimpleNamespace(probe=lambda: next(machines), engines=tuple, measure_bandwidth=known_bandwidth)
    store = await asyncio.to_thread(Store, tmp_path / "state.db")
    app = SimpleNamespace(
        adapters=adapters,
        store=store,
        hardware_cache=HardwareCache(),
        measuring_lock=asyncio.Lock(),
        boot_id=None,
        in_flight=InFlight(store, None),
        guards=GuardState(),
    )
    app.launches, app.events = {}, EventLog(store)
    app.settings = SimpleNamespace(models_dir=None, sysroot=Path("/"))
    for _ in range(2):
        await probe_now(cast("App", app))
    assert await asyncio.to_thread(query.answer, path, question) == first
    await probe_now(cast("App", app))
    assert await asyncio.to_thread(query.answer, path, question) != first


def test_an_engine_and_its_workers_are_no_tenants_of_a_gpu(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/30/stat": "30 (worker) S 20 0", "proc/40/stat": "40 (python3) S 1 0"})
    users = (
        GpuProcess(20, "vllm", 5),
        GpuProcess(30, "worker", 7),
        GpuProcess(40, "python3 ComfyUI/main.py", 9),
    )
    unknown = Gpu("y", "amd", "Y")
    seen = Hardware(gpus=(Gpu("x", "amd", "X", tenants=users), unknown))
    first, second = without_own_processes(seen, [20], tmp_path).gpus
    assert first.tenants == users[2:]
    assert second is unknown


def test_every_error_that_has_a_code_of_its_own_has_a_status() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    of_ctl = {errors.DaemonGoneError}
    by_base = {errors.StateError}
    wanted = {kind for kind in kinds if issubclass(kind, errors.NodeError)} - of_ctl - by_base
    assert wanted == set(STATUS)


def test_engines_are_looked_for_in_environments_of_their_own_and_beside_ours(tmp_path: Path) -> None:
    for name in ("engines/cuda", "clone/.venv", "clone/.venv-vllm", "clone/other"):
        (tmp_path / name).mkdir(parents=True)
    found = environments(tmp_path / "engines", tmp_path / "clone" / ".venv")
    assert [path.name for path in found] == ["cuda", ".venv-vllm"]
    assert environments(tmp_path / "none", tmp_path / "none" / ".venv") == ()
