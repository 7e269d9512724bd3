"""The weights on this disk: listed, pinned, removed, made room for, hashed again, adopted."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from catalog.local import adoption, delete, inventory
from catalog.local import verify as hashes
from daemon.app import App
from daemon.state.records import now
from daemon.weights import retention
from domain.errors import BusyError, DownloadError
from domain.local_model import LocalModel, LocalModelRow, ModelNote, VerifyProgress
from domain.model import Weights
from domain.units import gib


@dataclass(frozen=True, slots=True)
class Freed:
    """What a removal took away, or with ``dry_run`` would take. ``short_bytes``: what is missing still."""

    models: tuple[str, ...]
    leftovers: int
    freed_bytes: int
    free_bytes: int
    short_bytes: int = 0
    dry_run: bool = False


async def rows(app: App) -> tuple[LocalModelRow, ...]:
    found = await _stored(app)
    notes = await app.store.run(app.store.models.all)
    users = await _users(app, found)
    return tuple(_row(one, notes.get(one.name, ModelNote(one.name)), users.get(one)) for one in found)


async def pin(app: App, model: str, *, pinned: bool) -> tuple[LocalModelRow, ...]:
    """Raises: UnknownModelError."""
    chosen = await find(app, model)
    for one in chosen:
        await app.store.run(app.store.models.update, one.name, pinned=pinned)
    names = {one.name for one in chosen}
    return tuple(row for row in await rows(app) if row.model in names)


async def remove(app: App, model: str) -> Freed:
    """Raises: UnknownModelError, BusyError for what is in use or pinned or of another tool."""
    chosen = await find(app, model)
    notes = await app.store.run(app.store.models.all)
    users = await _users(app, chosen)
    for one in chosen:
        _may_go(one, users.get(one), notes.get(one.name, ModelNote(one.name)))
    return await _removed(app, chosen, ())


async def make_room(app: App, *, free_bytes: int | None, dry_run: bool) -> Freed:
    """Leftovers first, then what was not used for longest, until ``free_bytes`` are free; never what is
    pinned, in use, on its way, or another tool's."""
    wanted = app.settings.disk_low_bytes if free_bytes is None else free_bytes
    found = await _stored(app)
    notes = await app.store.run(app.store.models.all)
    free_now = await asyncio.to_thread(_free, app)
    left = (
        () if app.downloads.under_way else await asyncio.to_thread(delete.leftovers, app.settings.models_dir)
    )
    left_bytes = await asyncio.to_thread(lambda: sum(path.lstat().st_size for path in left))
    used = {one.name for one in await _users(app, found)}
    chosen = retention.select_deletions(found, notes, used=used, lacking_bytes=wanted - free_now - left_bytes)
    if not dry_run:
        done = await _removed(app, chosen, left)
        free_now, freed = done.free_bytes, done.freed_bytes
    else:
        freed = left_bytes + sum(one.size_bytes for one in chosen)
        free_now += freed
    names = tuple(one.name for one in chosen)
    return Freed(names, len(left), freed, free_now, max(0, wanted - free_now), dry_run)


async def verify(app: App, model: str | None) -> AsyncIterator[VerifyProgress]:
    """Hashes what is here again, a line each step. What is damaged and not in use is set aside, so that
    the next pull fetches it. Whoever stops reading ends it. Raises: UnknownModelError."""
    chosen = await (_stored(app) if model is None else find(app, model))
    for one in chosen:
        async for step in _checked(app, one):
            yield step


async def adopt(app: App, folder: Path | None) -> tuple[LocalModelRow, ...]:
    """Links to the GGUF files of LM Studio and Ollama. Raises: DownloadError where there are none."""
    models_dir = app.settings.models_dir
    folders = (folder,) if folder else adoption.default_folders(app.settings.ollama_models)
    names = await asyncio.to_thread(adoption.adopt, folders, models_dir)
    if not names:
        looked = ", ".join(map(str, folders))
        raise DownloadError(f"no GGUF files of Ollama or LM Studio in {looked}", hint="name their folder")
    return tuple(row for row in await rows(app) if row.model in names)


async def _checked(app: App, one: LocalModel) -> AsyncIterator[VerifyProgress]:
    wrong: list[str] = []
    with closing(hashes.check(one)) as steps:
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            if step.damaged:
                wrong.append(step.damaged)
            yield step
    damaged = "; ".join(wrong) or None
    await app.store.run(app.store.models.update, one.name, verified_at=now(), damaged=damaged)
    if damaged:
        await app.events.append("weights_damaged", f"{one.name}: {damaged}")
        if not (await _users(app, (one,)) or one.other_tool or one.linked):
            await asyncio.to_thread(hashes.set_aside, one)


async def _stored(app: App) -> tuple[LocalModel, ...]:
    return await asyncio.to_thread(inventory.list_models, app.settings.models_dir, app.settings.places)


async def find(app: App, model: str) -> tuple[LocalModel, ...]:
    """Raises: UnknownModelError."""
    return inventory.select(model, await _stored(app), app.catalogue)


async def _users(app: App, found: tuple[LocalModel, ...]) -> dict[LocalModel, str]:
    """The launch that uses each, or will again: what is desired counts while it is between two starts."""
    wanted = {
        launch.name: launch.plan.weights
        for launch in app.launches.values()
        if launch.plan and not launch.is_at_rest
    }
    return await asyncio.to_thread(_using, wanted, found)


def _using(wanted: Mapping[str, Weights], found: tuple[LocalModel, ...]) -> dict[LocalModel, str]:
    """By where their bytes are: two names may lead to the same. Blocks."""
    users = {
        str((Path(weights.location) / file.name).resolve()): launch
        for launch, weights in wanted.items()
        if weights.location is not None
        for file in weights.files
    }
    by_model = (
        (one, [users[file.real_path] for file in one.files if file.real_path in users]) for one in found
    )
    return {one: launches[0] for one, launches in by_model if launches}


def _may_go(one: LocalModel, user: str | None, note: ModelNote) -> None:
    """Raises: BusyError."""
    if user is not None:
        raise BusyError(f"{one.name} is in use by {user}", hint=f"node-ctl stop {user} first")
    if note.pinned:
        raise BusyError(f"{one.name} is pinned", hint=f"node-ctl unpin {one.name} first")
    if one.other_tool:
        raise BusyError(
            f"{one.name} lies in the cache of another tool, {one.location}",
            hint="remove it there: hf cache rm",
        )


async def _removed(app: App, chosen: tuple[LocalModel, ...], left: tuple[Path, ...]) -> Freed:
    freed = await asyncio.to_thread(delete.sweep, left)
    for one in chosen:
        freed += await asyncio.to_thread(delete.remove, one)
        await app.store.run(app.store.models.forget, one.name)
        await app.events.append("weights_removed", f"{one.name}, {gib(one.size_bytes)}")
    names = tuple(one.name for one in chosen)
    return Freed(names, len(left), freed, await asyncio.to_thread(_free, app))


def _free(app: App) -> int:
    folder = app.settings.models_dir
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def _row(one: LocalModel, note: ModelNote, user: str | None) -> LocalModelRow:
    return LocalModelRow(
        model=one.name,
        source=one.source,
        repo=one.repo,
        revision=one.revision,
        quant=one.quant,
        size_bytes=one.size_bytes,
        files=tuple(file.name for file in one.files),
        location=one.location,
        fetched_at=one.fetched_at,
        used_at=note.used_at,
        pinned=note.pinned,
        verified_at=note.verified_at,
        damaged=note.damaged,
        running=user,
        other_tool=one.other_tool,
        linked=one.linked,
    )
