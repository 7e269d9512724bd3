"""The files that hold conversations: where they are, what they may take, and their end."""

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from daemon.app import App
from daemon.machine.disk_space import existing_folder
from daemon.state.records import ConversationCopy

GB = 10**9  # of a setting in gb


def folder(app: App, launch: str) -> Path:
    """In the home of the engine, who writes them. In the service that belongs to the engine's own user."""
    return app.scratch_path(launch) / "home" / "conversations"


def make_folder(app: App, launch: str) -> Path:
    """Blocks. Raises: OSError."""
    path = folder(app, launch)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def limit_bytes(app: App, stored: Iterable[ConversationCopy]) -> int:
    """What all of them together may take: the setting, and what the disk has beside its reserve. Blocks.
    Raises: OSError."""
    free = shutil.disk_usage(existing_folder(app.settings.state_dir)).free - app.settings.disk_reserve_bytes
    taken = sum(copy.size_bytes for copy in stored)
    return min(int(app.settings.conversation_cache_gb * GB), taken + max(0, free))


async def remove(app: App, copy: ConversationCopy) -> None:
    """In the service its file is written over later, or goes with the launch. Raises: StateError."""
    if app.is_service:
        await app.store.run(app.store.conversations.save, replace(copy, chain=()))
        return
    await app.store.run(app.store.conversations.remove, copy.launch, copy.file)
    path = folder(app, copy.launch) / copy.file
    await asyncio.to_thread(path.unlink, missing_ok=True)


async def remove_orphans(app: App) -> None:
    """Of launches whose weights are gone. Raises: StateError, OSError."""
    for copy in await app.store.run(app.store.conversations.all):
        launch = app.launches.get(copy.launch)
        plan = None if launch is None else launch.plan
        weights = None if plan is None else plan.weights.first_path
        if launch is None or (weights is not None and not await asyncio.to_thread(Path(weights).exists)):
            await remove(app, copy)
