"""node-daemon: settings, lock, store, API, jobs, launches; started in this order, stopped in its reverse."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from config import fallback
from config.loading import Loaded
from config.settings import Settings
from daemon import instance_lock, jobs, log_format, server, shutdown_marker, status
from daemon.access import keys, lan
from daemon.app import Adapters, App, build_app, real_adapters
from daemon.control_socket import bind
from daemon.gateway.listener import server as gateway
from daemon.guards.watching import watching
from daemon.isolation import container_init
from daemon.launches.restore import read_launches
from daemon.launches.service import kill_all, stop_all
from daemon.notifications import service as notifications
from daemon.schedules import service as schedules
from daemon.state.store import Store
from daemon.systemd_notify import SystemdNotifier
from daemon.telemetry.recorder import recording
from daemon.turns import restoring
from daemon.watchdog import watch as watchdog
from daemon.weights import leases, pulls
from daemon.weights.catalogue import update as catalogue_update
from domain.errors import ConfigError, NodeError
from domain.events import EventKind

log = logging.getLogger(__name__)

STATUS_EVERY_S = 5.0
YOUNG_OBJECTS = 10_000  # 700 by default: 64 streams make so many in a quarter of a second
CANT_START = 1
BAD_SETTINGS = 2  # the unit does not start it again: RestartPreventExitStatus=


def run(argv: Sequence[str] | None = None) -> int:
    """The command ``node-daemon``: 0 after a clean stop, 2 for settings that it never ran with and can't use,
    1 where it can't start for another reason."""
    arguments = _arguments().parse_args(argv)
    if os.getpid() == 1 and (ended := container_init.fork()) is not None:
        return ended
    given = {"state_dir": arguments.state_dir, "socket": arguments.socket}
    try:
        loaded = fallback.load(arguments.config, given)
    except ConfigError as error:
        return _refused(error, BAD_SETTINGS)
    try:
        try:
            _run(loaded, given)
        except ConfigError as error:  # raised before anything that runs is touched
            previous = fallback.previous(loaded, given, error)
            if previous is None:
                raise
            _run(previous, given)
    except NodeError as error:
        return _refused(error, CANT_START)
    return 0


def _refused(error: NodeError, status: int) -> int:
    """The process's edge: printed without a traceback."""
    if sys.stderr is not None:  # which it is where the caller closed it
        sys.stderr.write(f"node-daemon: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
    return status


def _run(loaded: Loaded, given: Mapping[str, Any]) -> None:
    settings = loaded.settings
    log_format.configure(settings.log_level)
    for problem in loaded.problems:
        log.error("settings not used: %s (%s)", problem, problem.hint)
    _export_hub_token(settings)
    with instance_lock.hold(settings.state_dir):
        asyncio.run(serve(loaded, given))


def _export_hub_token(settings: Settings) -> None:
    """The hub's client reads the token from the environment, here and in download processes."""
    if settings.hub_token is not None:
        os.environ["HF_TOKEN"] = settings.hub_token.get_secret_value()


async def serve(loaded: Loaded, given: Mapping[str, Any]) -> None:
    """Runs until SIGTERM or SIGINT; a second one ends the engines at once. ``given`` is the command line."""
    notify, stop_requested = SystemdNotifier(), asyncio.Event()
    _on_signals(stop_requested, _die)  # while it starts: it stops as soon as it has started
    adapters = await asyncio.to_thread(real_adapters, loaded.settings)
    await asyncio.to_thread(adapters.workers.start)
    try:
        async with running(loaded.settings, notify, adapters, loaded) as app:
            _on_signals(stop_requested, partial(kill_all, app))
            await asyncio.to_thread(fallback.remember, loaded, given, at=app.since)
            keep_what_is_loaded()
            notify("READY=1", f"STATUS={status.summary(app)}")
            await stop_requested.wait()
    finally:
        await asyncio.to_thread(adapters.workers.close)
    log.info("stopped")


def keep_what_is_loaded() -> None:
    """Out of the collections of garbage from here on: one of the modules and of all that began with the
    daemon stops the loop, and every stream, for 100 ms. Others are made less often: most values here are
    freed without one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


@asynccontextmanager
async def running(
    settings: Settings, notify: SystemdNotifier, adapters: Adapters, loaded: Loaded | None = None
) -> AsyncIterator[App]:
    """A daemon that serves while the block runs. The caller holds the lock on the state. ``loaded`` has the
    origins of ``settings``."""
    async with AsyncExitStack() as undo:  # each step pushes its opposite: the stop is the exact reverse
        store = await asyncio.to_thread(Store, settings.state_dir / "state.db")
        undo.push_async_callback(asyncio.to_thread, store.close)
        undo.push_async_callback(store.copies.refresh, is_last=True)
        # Before anything that runs is touched: where it can't be bound, engines keep serving.
        control = await asyncio.to_thread(bind, settings.socket)
        undo.callback(control.listener.close)
        undo.push_async_callback(asyncio.to_thread, control.remove)
        app = await asyncio.to_thread(build_app, settings, store, adapters, loaded)
        for threads in (app.hub_threads, app.engine_threads):
            undo.callback(threads.shutdown, wait=False, cancel_futures=True)
        await app.in_flight.judge()
        await shutdown_marker.mark_started(app)
        if (recovered := store.database.recovered) is not None:
            await app.events.append(EventKind.STATE_RECOVERED, recovered.in_words)
        for problem in app.loaded.problems:
            await app.events.append(EventKind.SETTINGS_REJECTED, f"not used: {problem}")
        undo.push_async_callback(shutdown_marker.mark_stopped, app)
        undo.push_async_callback(asyncio.to_thread, app.leases.release)
        for stop in (stop_all, pulls.stop_all, schedules.stop_all, notifications.stop_all):
            undo.push_async_callback(stop, app)
        undo.callback(app.survivors_known.set)  # nothing waits for that where it ends before
        await _read_state(app)
        await undo.enter_async_context(server.listening(app, control))
        await undo.enter_async_context(gateway.listening(app))
        undo.enter_context(jobs.running(app))
        await undo.enter_async_context(recording(app))
        await undo.enter_async_context(watching(app))
        await undo.enter_async_context(restoring(app))
        reporting = asyncio.create_task(_report_status(app, notify), name="notify")
        undo.callback(reporting.cancel)
        log.info("serving: socket=%s state_dir=%s", settings.socket, settings.state_dir)
        undo.callback(_close_streams, app)
        undo.callback(notify, "STOPPING=1", "STATUS=stopping")
        undo.callback(app.in_flight.close)
        yield app


async def _read_state(app: App) -> None:
    await catalogue_update.load(app)
    await read_launches(app)
    await keys.read_keys(app)
    await lan.read_switch(app)
    await schedules.load(app)
    await pulls.read_pulls(app)
    await leases.renew(app)


def _on_signals(stop_requested: asyncio.Event, again: Callable[[], None]) -> None:
    """``again`` is done at a second signal."""

    def stop() -> None:
        if stop_requested.is_set():
            again()
        stop_requested.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _die() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _close_streams(app: App) -> None:
    """Ends every stream: the API waits for its open requests."""
    app.stopping.close()
    app.events.close()
    for progress in (
        *(launch.progress for launch in app.launches.values()),
        *(pull.progress for pull in app.pulls.values()),
    ):
        progress.close()


async def _report_status(app: App, notify: SystemdNotifier) -> None:
    """Reports status changes and watchdog pings to systemd."""
    feeding = asyncio.create_task(watchdog.watch(app, notify), name="watchdog")
    reported = ""
    try:
        while True:
            summary = status.summary(app)
            if summary != reported:
                notify(f"STATUS={summary}")
                reported = summary
            await asyncio.sleep(STATUS_EVERY_S)
    finally:
        feeding.cancel()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="node-daemon",
        description="Plans, launches and keeps alive local language models. node-ctl talks to it.",
        epilog="Every setting can be set in the settings file or as NODE_DAEMON_<SETTING>: docs/settings.md",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the settings file")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="the folder of state and logs")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="the control socket")
    parser.add_argument("--version", action="version", version=f"node-daemon {status.VERSION}")
    return parser


if __name__ == "__main__":
    sys.exit(run())
