"""Launches written down, one write at a time and each to its end: the last word is the last one written."""

import asyncio

from daemon.app import Node
from daemon.launches.launch import Live


async def remember(node: Node, live: Live) -> None:
    """A caller that is cancelled leaves a write that ends all the same, before any later one begins.

    Raises: StateError."""
    await asyncio.shield(asyncio.create_task(_write(node, live, new=True)))


async def remember_known(node: Node, live: Live) -> None:
    """Only where it was written down before: a launch that never had a plan leaves no row.

    Raises: StateError."""
    await asyncio.shield(asyncio.create_task(_write(node, live, new=False)))


async def forget(node: Node, live: Live) -> None:
    """Raises: StateError."""
    async with live.writing:
        await asyncio.to_thread(node.store.forget_launch, live.name)


async def _write(node: Node, live: Live, *, new: bool) -> None:
    async with live.writing:
        if new or await asyncio.to_thread(node.store.launch, live.name) is not None:
            await asyncio.to_thread(node.store.save_launch, live.remembered())
