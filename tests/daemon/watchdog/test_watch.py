"""Systemd hears of a daemon that gets on, and of none whose store hangs; a suspend has engines checked."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.app import App
from daemon.launches.launch import Launch
from daemon.state.records import LaunchRequest
from daemon.systemd_notify import SystemdNotifier
from daemon.watchdog.policy import STORE_PATIENCE_S, Clocks
from daemon.watchdog.watch import _Watchdog
from domain.launches.plan import LaunchOptions
from tests.daemon.conftest import Running


@contextmanager
def manager() -> Iterator[tuple[socket.socket, SystemdNotifier]]:
    """The socket of systemd, and who sends to it."""
    name = f"node-daemon-watchdog-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        heard.setblocking(False)
        yield heard, SystemdNotifier({"NOTIFY_SOCKET": f"@{name}"})


def fed(heard: socket.socket) -> int:
    count = 0
    while True:
        try:
            count += heard.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return count


async def test_a_store_that_hangs_is_not_fed_for(daemon: Running) -> None:
    async with daemon() as api:
        app: App = api.app
        with manager() as (heard, notify):
            watchdog = _Watchdog(app, notify, Clocks(0.0, 0.0))
            await watchdog.look(Clocks(0.0, 0.0))
            await app.store.run(lambda: None)  # after its question
            await watchdog.look(Clocks(1.0, 1.0))
            await app.store.run(lambda: None)
            assert fed(heard) == 2
            hangs = threading.Event()
            waiting = app.store.database.hand_over(hangs.wait)
            await watchdog.look(Clocks(2.0, 2.0))
            late_s = 2.0 + STORE_PATIENCE_S
            await watchdog.look(Clocks(late_s, late_s))
            await watchdog.look(Clocks(late_s + 1, late_s + 1))
            assert fed(heard) == 2, "as long as a slow disk may take"
            hangs.set()
            await waiting
            await app.store.run(lambda: None)
            await watchdog.look(Clocks(late_s + 2, late_s + 2))
            assert fed(heard) == 1


async def test_after_a_suspend_engines_are_checked_at_once(daemon: Running) -> None:
    async with daemon() as api:
        app: App = api.app
        app.launches["m"] = launch = Launch(LaunchRequest("m", "m", LaunchOptions()))
        with manager() as (heard, notify):
            watchdog = _Watchdog(app, notify, Clocks(0.0, 0.0))
            await watchdog.look(Clocks(60.0, 60.0))
            assert not launch.check_now.is_set()
            await watchdog.look(Clocks(61.0, 3661.0))
            assert fed(heard) == 2, "time asleep is not time without progress"
        assert launch.check_now.is_set()
        del app.launches["m"]
        told = await app.store.run(app.store.events.since, 0)
        (resumed,) = (event.message for event in told if event.kind == "resumed")
        assert resumed == "the machine was suspended for 3600 s; engines are checked now"
