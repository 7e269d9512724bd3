"""Weights on their way to this disk: one download for everyone who wants the same files."""

import asyncio
import time
from contextlib import closing
from dataclasses import replace

from catalog.local import inventory, metadata
from daemon.app import App
from daemon.weights.transfer_rate import TransferRate
from daemon.weights.transfers import Download, Key, Tell
from domain.download import DownloadPolicy, DownloadProgress
from domain.errors import DownloadError, NodeError
from domain.launch import Progress
from domain.model import Weights
from domain.units import duration, gib

EVENT_EVERY_S = 600.0  # for who looks at the events of a download that takes the night


async def download(app: App, weights: Weights, tell: Tell, terms: DownloadPolicy | None = None) -> Weights:
    """``weights`` with their location, once they are complete. ``tell`` hears how far they are.

    Callers that want the same files share one download, on the terms of the first. One that goes away
    ends it only if it is the last; what is here then is taken up by the next. Raises: DownloadError,
    DiskFullError, BadModelError."""
    if await asyncio.to_thread(metadata.is_complete, weights, app.settings.models_dir):
        return replace(weights, location=str(metadata.folder_of(weights, app.settings.models_dir)))
    key = _key(weights)
    download = app.downloads.get(key)
    if download is None:
        download = app.downloads[key] = Download(weights)
        running = _run(app, download, terms or app.settings.terms)
        download.task = asyncio.create_task(running, name=f"download {inventory.name_of(weights)}")
    elif download.last is not None:
        tell(download.last)
    download.tells.append(tell)
    try:
        return await asyncio.shield(_task(download))
    finally:
        download.tells.remove(tell)
        if not download.tells:
            download.cancelled.set()
            if app.downloads.get(key) is download:
                del app.downloads[key]


def _task(download: Download) -> asyncio.Task[Weights]:
    if download.task is None:
        raise RuntimeError("a download without a task")
    return download.task


def _key(weights: Weights) -> Key:
    files = tuple(file.name for file in weights.files)
    return f"{weights.source}:{weights.repo}@{weights.revision}", files


async def _run(app: App, download: Download, terms: DownloadPolicy) -> Weights:
    """Events tell its beginning, each pause, its end, and now and then how far it is."""
    name, total = inventory.name_of(download.weights), gib(download.weights.size_bytes)
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[Progress]()
    began_s = loop.time()
    await app.events.append("download_started", f"{name}, {total}")
    telling = asyncio.create_task(_tell(app, download, lines), name="download lines")

    def tell(line: Progress) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, line)

    try:
        done = await asyncio.to_thread(_pull, app, download, terms, tell)
    except NodeError as error:
        kind = "download_stopped" if download.cancelled.is_set() else "download_failed"
        await app.events.append(kind, f"{name}: {error}")
        raise
    finally:
        telling.cancel()
    await app.events.append("download_done", f"{name}, {total} in {duration(loop.time() - began_s)}")
    return done


async def _tell(app: App, download: Download, lines: "asyncio.Queue[Progress]") -> None:
    loop, name = asyncio.get_running_loop(), inventory.name_of(download.weights)
    event_s = loop.time()
    while True:
        line = await lines.get()
        before = download.last.waiting if download.last else None
        download.last = line
        for tell in tuple(download.tells):
            tell(line)
        if line.waiting and not before:
            await app.events.append("download_paused", f"{name}: {line.waiting}")
        elif before and not line.waiting:
            await app.events.append("download_resumed", name)
        elif line.rate_bytes_per_s and loop.time() - event_s >= EVENT_EVERY_S:
            event_s = loop.time()
            await app.events.append("download_progress", f"{name}: {_in_words(line)}")


def _in_words(line: Progress) -> str:
    rate = "" if line.rate_bytes_per_s is None else f", {line.rate_bytes_per_s / 1e6:.1f} MB/s"
    left = "" if line.eta_s is None else f", {duration(line.eta_s)} left"
    return f"{line.message}{rate}{left}"


def _pull(app: App, download: Download, terms: DownloadPolicy, tell: Tell) -> Weights:
    """In a thread, which can't be cancelled: it looks whether it is, several times a second."""
    weights, meter = download.weights, TransferRate()
    last: DownloadProgress | None = None
    with closing(app.adapters.fetch(weights, app.settings.models_dir, terms, app.settings.places)) as steps:
        for last in steps:
            if download.cancelled.is_set():
                break
            if (line := meter.line(last, time.monotonic())) is not None:
                tell(line)
    if last is None or last.weights is None:
        raise DownloadError(
            f"{inventory.name_of(weights)}: the download was stopped",
            hint="what is here is kept: ask for it again to go on",
        )
    return last.weights
