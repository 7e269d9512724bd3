"""Whether the disk with the weights is mounted: the folder that is empty without it must not be filled."""

import asyncio
from pathlib import Path

from daemon.app import App
from domain.errors import DownloadError
from domain.events import EventKind
from domain.machine.hardware import Problem
from probes import storage
from probes.memo import Memo

KEY = "weights_mount"
PROBLEM = "weights disk"


async def check_mounted(app: App) -> None:
    """Remembers where the folder's disk is mounted while there are weights in it. Raises: DownloadError
    while it is not."""
    folder, key = app.settings.models_dir, f"{KEY}:{app.settings.models_dir}"
    mounted_at, is_empty = await asyncio.to_thread(_look, app.settings.sysroot, folder)
    known = await app.store.recall(str, key)
    if is_empty and known not in (None, mounted_at):
        raise DownloadError(
            f"{folder} is empty: the disk at {known}, which held the weights, is not mounted",
            hint=f"mount {known}; to begin anew without that disk, set models_dir to another folder",
        )
    if not is_empty and mounted_at is not None and mounted_at != known:
        await app.store.record(key, mounted_at)


async def watch(app: App) -> None:
    """A scheduled job: tells when it is gone and when it is back."""
    problems = app.guards.problems
    try:
        await check_mounted(app)
    except DownloadError as error:
        if PROBLEM not in problems:
            problems[PROBLEM] = Problem(PROBLEM, str(error), error.hint)
            await app.events.append(EventKind.WEIGHTS_UNMOUNTED, error.in_full)
        return
    if problems.pop(PROBLEM, None) is not None:
        await app.events.append(EventKind.WEIGHTS_MOUNTED, f"{app.settings.models_dir} has its weights again")
        for launch in app.launches.values():
            if launch.lifecycle.desired and launch.engine is None:
                launch.orders.give_retry()


def _look(root: Path, folder: Path) -> tuple[str | None, bool]:
    """Where its disk is mounted, and whether there are no weights in it: they are in folders."""
    mounted_at = storage.probe(root, folder, Memo()).value.mounted_at
    return mounted_at, not any(one.is_dir() for one in folder.glob("[!.]*"))
