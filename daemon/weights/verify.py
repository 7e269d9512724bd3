"""Hashes weights again: a disk can lose bits without an error.

One thread hashes for all callers, and does nothing else: no other command waits for the disk.
"""

import asyncio
from collections.abc import AsyncIterator

from catalog.local import verify as hashes
from daemon.app import App
from daemon.state.records import now
from daemon.weights import leases, usage
from daemon.weights.service import find, stored
from domain.events import EventKind
from domain.models.local_model import LocalModel, VerifyProgress


async def verify(app: App, model: str | None) -> AsyncIterator[VerifyProgress]:
    """Hashes the weights on this disk and yields each step. Damaged ones that are not in use are set aside,
    so that the next pull downloads them. Ends without a result when its reader stops. Raises:
    UnknownModelError."""
    for chosen in await (stored(app) if model is None else find(app, model)):
        async for step in _verified(app, chosen):
            yield step


async def _verified(app: App, model: LocalModel) -> AsyncIterator[VerifyProgress]:
    loop, damages = asyncio.get_running_loop(), list[str]()
    steps = hashes.check(model)
    try:
        while (step := await loop.run_in_executor(app.hash_thread, next, steps, None)) is not None:
            if step.damaged:
                damages.append(step.damaged)
            yield step
    finally:
        app.hash_thread.submit(steps.close)  # behind the step it may be in: it can't be closed meanwhile
    damaged = "; ".join(damages) or None
    await app.store.run(app.store.models.update, model.name, verified_at=now(), damaged=damaged)
    if damaged:
        await app.events.append(EventKind.WEIGHTS_DAMAGED, f"{model.name}: {damaged}")
        if not ((await usage.current(app)).is_used(model) or model.other_tool or model.linked):
            await loop.run_in_executor(app.hash_thread, leases.set_aside, app, model)
