"""The control socket is lost and comes back: the daemon listens again, and never in another one's place."""

import asyncio
import errno
import fcntl
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import instance
from config.settings import Settings
from daemon import instance_lock
from daemon.control_socket import bind
from domain.errors import BusyError, ConfigError
from tests.daemon.conftest import Api, Running

OTHER = """
import contextlib, os, socket, sys, threading
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + "2")
s.listen(9)
os.rename(sys.argv[1] + "2", sys.argv[1])  # at once: the daemon would take a path that is free
print("listening", flush=True)
def serve():
    while True:
        with contextlib.suppress(OSError), s.accept()[0] as caller:
            caller.sendall(b"other")
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""  # another daemon, in its own process; its socket file stays, as after a crash


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With the socket in a folder of its own, as XDG_RUNTIME_DIR is."""
    return settings.model_copy(update={"socket": tmp_path / "run" / "s"})


@pytest.fixture
async def api(daemon: Running, settings: Settings) -> AsyncIterator[Api]:
    lock = ExitStack()
    await asyncio.to_thread(lock.enter_context, instance_lock.hold(settings.state_dir))
    with lock:
        async with daemon() as api:
            yield api


async def status_at(path: Path) -> Any:
    transport = httpx.AsyncHTTPTransport(uds=str(path), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://node-daemon", timeout=120) as http:
        return (await http.get("/v1/status")).json()


async def until(check: Callable[[Path], bool], settings: Settings) -> Path:
    """The path where the lock says that it listens, once that passes ``check``."""
    async with asyncio.timeout(120):
        while True:
            holder = await asyncio.to_thread(instance.running, settings.state_dir)
            assert holder is not None
            assert holder.configured == settings.socket
            if holder.socket is not None and check(holder.socket):
                return holder.socket
            await asyncio.sleep(0.02)


async def test_a_removed_socket_is_there_again_and_requests_under_way_go_on(
    api: Api, settings: Settings
) -> None:
    async with api.http.stream("GET", "/v1/events?follow=true") as events:
        settings.socket.unlink()
        await until(lambda path: path.is_socket(), settings)
        assert (await status_at(settings.socket))["pid"] == os.getpid()
        async for line in events.aiter_lines():
            if "socket_back" in line:
                break
    assert settings.socket.stat().st_mode & 0o777 == 0o660


async def test_without_its_folder_it_listens_in_the_state_folder_and_goes_back(
    api: Api, settings: Settings
) -> None:
    shutil.rmtree(settings.socket.parent)
    fallback = await until(lambda path: path != settings.socket, settings)
    assert fallback == settings.state_dir / "node-daemon.sock"
    problems = (await status_at(fallback))["problems"]
    assert f"{settings.socket} is gone; node-daemon listens on {fallback}" in [
        one["what"] for one in problems
    ]
    assert not settings.socket.parent.exists(), "the runtime folder is made by logins alone"

    settings.socket.parent.mkdir()
    await until(lambda path: path == settings.socket and not fallback.exists(), settings)
    assert "socket" not in [one["source"] for one in (await status_at(settings.socket))["problems"]]


async def test_another_daemons_socket_is_left_to_it(api: Api, settings: Settings) -> None:
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER, str(settings.socket), stdin=PIPE, stdout=PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    await other.stdout.readline()
    await until(lambda path: path != settings.socket, settings)
    reader, writer = await asyncio.open_unix_connection(str(settings.socket))
    assert await reader.read() == b"other"
    writer.close()

    other.stdin.close()
    assert await other.wait() == 0
    await until(lambda path: path == settings.socket, settings)
    assert (await status_at(settings.socket))["socket"] == str(settings.socket)


async def test_a_daemon_that_ends_leaves_the_socket_of_another(daemon: Running, settings: Settings) -> None:
    async with daemon():
        settings.socket.unlink()
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, str(settings.socket), stdin=PIPE, stdout=PIPE
        )
        assert other.stdin is not None
        assert other.stdout is not None
        await other.stdout.readline()
    reader, writer = await asyncio.open_unix_connection(str(settings.socket))
    assert await reader.read() == b"other"
    writer.close()
    other.stdin.close()
    assert await other.wait() == 0


async def test_a_socket_that_an_owner_gave_other_rights_stays_in_use(settings: Settings) -> None:
    control = await asyncio.to_thread(bind, settings.socket)
    settings.socket.chmod(0o600)
    assert await asyncio.to_thread(control.is_in_place)
    control.listener.close()
    assert not await asyncio.to_thread(control.is_in_place)


def test_a_state_folder_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    refused = pytest.raises(ConfigError, match="can't be locked: No locks available")
    with refused as told, instance_lock.hold(tmp_path):
        pass
    assert "local disk" in told.value.hint


def test_a_client_that_looks_does_not_keep_a_daemon_from_the_lock(tmp_path: Path) -> None:
    """Its shared lock lasts for a moment; a daemon waits for that, and not for another daemon."""
    with instance_lock.hold(tmp_path):
        waits: list[float] = []
        busy = pytest.raises(BusyError, match="in use by another node-daemon, pid")
        with busy, instance_lock.hold(tmp_path, sleep=waits.append):
            pass
        assert instance.running(tmp_path) is not None
    assert sum(waits) < 2
    assert instance.running(tmp_path) is None, "the file stays, and nobody holds it"
