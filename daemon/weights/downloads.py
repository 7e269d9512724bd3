"""Downloads: callers that want the same files share one. A waiting download holds no thread and no process.

Outside its window, or while others run, it is only an entry in memory: any number of them leaves all other
commands, restarts and events of the daemon working.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from catalog.download.throttle import WindowClosedError, minute_now
from catalog.local import inventory, layout
from daemon.app import App
from daemon.interruption import is_end_of_task
from daemon.machine import weights_disk
from daemon.weights import leases
from daemon.weights.transfer_rate import TransferRate
from daemon.weights.transfers import Download, Key, Subscriber
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import NodeError
from domain.events import EventKind
from domain.launches.launch import Progress
from domain.models.model import Weights
from domain.units import duration, gib

log = logging.getLogger(__name__)

EVENT_EVERY_S = 600.0  # for owners who read the events of a download that takes all night
WINDOW_POLL_S = 1.0


async def download(
    app: App,
    weights: Weights,
    subscriber: Subscriber,
    policy: DownloadPolicy | None = None,
    *,
    is_urgent: bool = False,
) -> Weights:
    """``weights`` with their location, once they are complete. ``subscriber`` is called with the progress.

    Callers that want the same files share one download, on the policy of the first. Cancelling a call ends
    it only if it is the last one, and returns when its process has ended; what was fetched is resumed by the
    next. Raises: DownloadError, DiskFullError, BadModelError; BusyError where it would replace what another
    daemon uses."""
    models_dir = app.settings.models_dir
    await leases.renew(app)  # first: what is complete now, or replaced, then stays so
    if await asyncio.to_thread(layout.is_complete, weights, models_dir):
        return replace(weights, location=str(layout.folder_of(weights, models_dir)))
    await weights_disk.check_mounted(app)
    await leases.check_replaceable(app, weights)
    download = await _joined(app, weights, policy or app.settings.download_policy)
    if is_urgent:
        app.downloads.make_urgent(download)
    if download.last is not None:
        subscriber(download.last)
    download.subscribers.append(subscriber)
    try:
        return await asyncio.shield(download.task)
    finally:
        download.subscribers.remove(subscriber)
        if not download.subscribers:
            download.is_ending = True
            download.task.cancel()
            await asyncio.wait({download.task})


async def _joined(app: App, weights: Weights, policy: DownloadPolicy) -> Download:
    """The download of these files, a new one if there is none. Waits for one that is ending."""
    key = _key(weights)
    while (running := app.downloads.get(key)) is not None:
        if not running.is_ending:
            return running
        await asyncio.wait({running.task})
    download = Download(weights)
    name = inventory.name_of(weights)
    download.task = asyncio.create_task(_run(app, download, policy), name=f"download {name}")
    app.downloads.add(key, download)
    return download


def _key(weights: Weights) -> Key:
    files = tuple(file.name for file in weights.files)
    return f"{weights.source}:{weights.repo}@{weights.revision}", files


async def _run(app: App, download: Download, policy: DownloadPolicy) -> Weights:
    """Events record its start, each pause, its end, and every EVENT_EVERY_S its progress."""
    name, size = inventory.name_of(download.weights), gib(download.weights.size_bytes)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        await app.events.append(EventKind.DOWNLOAD_STARTED, f"{name}, {size}")
        weights = await _followed(app, download, policy)
    except NodeError as error:
        await app.events.append(EventKind.DOWNLOAD_FAILED, f"{name}: {error}")
        raise
    except BaseException as bug:  # whatever it is ends as an event, and as an error of all who wait for it
        if is_end_of_task(bug):
            await app.events.append(EventKind.DOWNLOAD_STOPPED, f"{name}: what is on disk is kept")
            raise
        log.exception("download broke: %s", name)
        await app.events.append(EventKind.DOWNLOAD_FAILED, f"{name}: {type(bug).__name__}: {bug}")
        raise NodeError(f"{type(bug).__name__}: {bug}", hint="the daemon's log has the traceback") from bug
    await app.events.append(EventKind.DOWNLOAD_DONE, f"{name}, {size} in {duration(loop.time() - began_s)}")
    return weights


async def _followed(app: App, download: Download, policy: DownloadPolicy) -> Weights:
    rate = TransferRate()
    event_s = time.monotonic()
    async with aclosing(_steps(app, download, policy)) as steps:
        async for step in steps:
            now_s = time.monotonic()
            if (progress := rate.progress(step, now_s)) is not None:
                is_due = progress.rate_bytes_per_s is not None and now_s - event_s >= EVENT_EVERY_S
                event_s = now_s if is_due else event_s
                await _report(app, download, progress, is_due=is_due)
            if step.weights is not None:
                return step.weights
    raise RuntimeError("a download ended without its weights")


async def _report(app: App, download: Download, progress: Progress, *, is_due: bool) -> None:
    """Appends the event first: whoever sees the progress of a pause then finds its event."""
    name = inventory.name_of(download.weights)
    waited = download.last is not None and download.last.waiting is not None
    if progress.waiting and not waited:
        await app.events.append(EventKind.DOWNLOAD_PAUSED, f"{name}: {progress.waiting}")
    elif waited and not progress.waiting:
        await app.events.append(EventKind.DOWNLOAD_RESUMED, name)
    elif is_due:
        await app.events.append(EventKind.DOWNLOAD_PROGRESS, f"{name}: {_summary(progress)}")
    download.last = progress
    for subscriber in tuple(download.subscribers):
        subscriber(progress)


def _summary(progress: Progress) -> str:
    rate = "" if progress.rate_bytes_per_s is None else f", {progress.rate_bytes_per_s / 1e6:.1f} MB/s"
    left = "" if progress.eta_s is None else f", {duration(progress.eta_s)} left"
    return f"{progress.message}{rate}{left}"


async def _steps(
    app: App, download: Download, policy: DownloadPolicy
) -> AsyncGenerator[DownloadProgress, None]:
    """A process runs only while the window is open; when it ends, the next download in the queue runs."""
    weights, models_dir = download.weights, app.settings.models_dir
    step = DownloadProgress(
        await asyncio.to_thread(layout.bytes_here, weights, models_dir), weights.size_bytes or None
    )
    while True:
        if (waiting := _closed(app, download, policy)) is not None:
            yield replace(step, waiting=waiting)
            while _closed(app, download, policy) is not None:  # noqa: ASYNC110 - a clock is polled: it may be set
                await asyncio.sleep(WINDOW_POLL_S)
        if not app.downloads.admits(download):
            yield replace(step, waiting=f"queued: {app.downloads.running} downloads are running")
        async with app.downloads.process_slot(download):
            if _closed(app, download, policy) is not None:
                continue
            fetched = app.adapters.fetch(weights, models_dir, policy, app.settings.places)
            try:
                async with aclosing(fetched) as steps:
                    async for step in steps:
                        yield step
                        if _closed(app, download, policy) is not None:
                            break
                    else:
                        return
            except WindowClosedError:
                continue


def _closed(app: App, download: Download, policy: DownloadPolicy) -> str | None:
    """For which hours it waits. Those of schedules hold where it has none of its own, and no launch waits."""
    if not policy.is_open(minute_now()):
        return f"its window is {policy.window}"
    return None if policy.window is not None or download.is_urgent else app.schedules.downloads_wait
