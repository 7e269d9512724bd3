"""Launches written down, one write at a time and each to its end: the last word is the last one written."""

import asyncio

from daemon.app import App
from daemon.launches.launch import Launch


async def save(app: App, launch: Launch) -> None:
    """A caller that is cancelled leaves a write that ends all the same, before any later one begins.

    Raises: StateError."""
    await asyncio.shield(asyncio.create_task(_write(app, launch, new=True)))


async def update_existing(app: App, launch: Launch) -> None:
    """Only where it was written down before: a launch that never had a plan leaves no row.

    Raises: StateError."""
    await asyncio.shield(asyncio.create_task(_write(app, launch, new=False)))


async def forget(app: App, launch: Launch) -> None:
    """Raises: StateError."""
    async with launch.writing:
        await asyncio.to_thread(app.store.forget_launch, launch.name)


async def _write(app: App, launch: Launch, *, new: bool) -> None:
    async with launch.writing:
        if new or await asyncio.to_thread(app.store.launch, launch.name) is not None:
            await asyncio.to_thread(app.store.save_launch, launch.remembered())
