"""The weights on this disk: list, pin, remove, make room, adopt."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.local import adoption, delete, inventory
from daemon.app import App
from daemon.machine.disk_space import existing_folder
from daemon.planning import context_proofs
from daemon.weights import leases, retention, usage
from daemon.weights.usage import Usage
from domain.errors import BusyError, DownloadError
from domain.events import EventKind
from domain.models.local_model import LocalModel, LocalModelRow, ModelNote
from domain.units import gib


@dataclass(frozen=True, slots=True)
class Freed:
    """What a removal deleted, or with ``dry_run`` would delete. ``short_bytes`` are still missing."""

    models: tuple[str, ...]
    leftovers: int
    freed_bytes: int
    free_bytes: int
    short_bytes: int = 0
    dry_run: bool = False


async def rows(app: App) -> tuple[LocalModelRow, ...]:
    models = await stored(app)
    notes = await app.store.run(app.store.models.all)
    used, proven = await usage.current(app), await context_proofs.proven_tokens(app, models)
    return tuple(
        replace(
            _with_context(app, _row(model, notes.get(model.name, ModelNote(model.name)), used)),
            proven_context_tokens=proven.get(model.name),
        )
        for model in models
    )


def _with_context(app: App, row: LocalModelRow) -> LocalModelRow:
    """``row`` with the context of the launch that uses it."""
    launch = app.launches.get(row.running or "")
    if launch is None:
        return row
    served = launch.row()
    return replace(
        row,
        planned_context_tokens=served.context_tokens,
        loaded_context_tokens=served.loaded_context_tokens,
    )


async def pin(app: App, model: str, *, pinned: bool) -> tuple[LocalModelRow, ...]:
    """Raises: UnknownModelError."""
    names = {chosen.name for chosen in await find(app, model)}
    for name in names:
        await app.store.run(app.store.models.update, name, pinned=pinned)
    return tuple(row for row in await rows(app) if row.model in names)


async def remove(app: App, model: str) -> Freed:
    """Raises: UnknownModelError, BusyError for what is in use, here or by another daemon, pinned, or of
    another tool."""
    models = await find(app, model)
    notes = await app.store.run(app.store.models.all)
    used = await usage.current(app)
    held, holders = await asyncio.to_thread(leases.holders, app, models)
    for chosen in models:
        _check_removable(chosen, notes.get(chosen.name, ModelNote(chosen.name)), used)
        if chosen.name in holders or held.unreadable is not None:
            raise leases.error_of(app, chosen.name, held, holders.get(chosen.name))
    return await _remove(app, models, 0, 0)


async def make_room(app: App, *, free_bytes: int | None, dry_run: bool) -> Freed:
    """Leftovers first, then what was not used for longest, until ``free_bytes`` are free; never what is
    pinned, in use, being downloaded, or another tool's."""
    wanted_bytes = app.settings.disk_low_bytes if free_bytes is None else free_bytes
    models = await stored(app)
    notes = await app.store.run(app.store.models.all)
    used = await usage.current(app)
    held, holders = await asyncio.to_thread(leases.holders, app, models)
    free_now = await asyncio.to_thread(_free, app)
    wanted = used.parts | leases.parts_of(app, held)
    leftovers = await asyncio.to_thread(delete.leftovers, app.settings.models_dir, wanted)
    left_bytes = await asyncio.to_thread(_size_bytes, leftovers)
    in_use = {model.name for model in models if used.is_used(model)} | holders.keys()
    missing_bytes = wanted_bytes - free_now - left_bytes
    chosen = retention.select_deletions(models, notes, used=in_use, missing_bytes=missing_bytes)
    if dry_run:
        freed_bytes = left_bytes + sum(model.size_bytes for model in chosen)
        names = tuple(model.name for model in chosen)
        freed = Freed(names, len(leftovers), freed_bytes, free_now + freed_bytes, dry_run=True)
    else:
        swept_bytes = await asyncio.to_thread(leases.sweep, app, used.parts, leftovers)
        freed = await _remove(app, chosen, len(leftovers), swept_bytes)
    return replace(freed, short_bytes=max(0, wanted_bytes - freed.free_bytes))


async def adopt(app: App, folder: Path | None) -> tuple[LocalModelRow, ...]:
    """Links to the GGUF files of LM Studio and Ollama. Raises: DownloadError where there are none."""
    models_dir = app.settings.models_dir
    folders = (folder,) if folder else adoption.default_folders(app.settings.ollama_models)
    names = await asyncio.to_thread(adoption.adopt, folders, models_dir)
    if not names:
        searched = ", ".join(map(str, folders))
        raise DownloadError(f"no GGUF files of Ollama or LM Studio in {searched}", hint="name their folder")
    return tuple(row for row in await rows(app) if row.model in names)


async def stored(app: App) -> tuple[LocalModel, ...]:
    return await asyncio.to_thread(inventory.list_models, app.settings.models_dir, app.settings.places)


async def find(app: App, model: str) -> tuple[LocalModel, ...]:
    """Raises: UnknownModelError."""
    return inventory.select(model, await stored(app), app.catalogue)


def _check_removable(model: LocalModel, note: ModelNote, used: Usage) -> None:
    """Raises: BusyError."""
    launch = used.launch_of(model)
    if launch is not None:
        raise BusyError(f"{model.name} is in use by {launch}", hint=f"node-ctl stop {launch} first")
    if used.is_downloading(model):
        raise BusyError(
            f"{model.name} is being downloaded", hint=f"node-ctl pull {model.name} --cancel first"
        )
    if note.pinned:
        raise BusyError(f"{model.name} is pinned", hint=f"node-ctl unpin {model.name} first")
    if model.other_tool:
        raise BusyError(
            f"{model.name} lies in the cache of another tool, {model.location}",
            hint="remove it there: hf cache rm",
        )


async def _remove(app: App, models: Sequence[LocalModel], leftovers: int, freed_bytes: int) -> Freed:
    """Skips what came into use meanwhile: removing models of terabytes takes a while. ``freed_bytes`` are
    those of ``leftovers``."""
    names = []
    for model in models:
        if (await usage.current(app)).is_used(model):
            continue
        removed_bytes = await asyncio.to_thread(leases.remove, app, model)
        if removed_bytes is None:
            continue
        freed_bytes += removed_bytes
        names.append(model.name)
        await app.store.run(app.store.models.forget, model.name)
        await app.events.append(EventKind.WEIGHTS_REMOVED, f"{model.name}, {gib(model.size_bytes)}")
    return Freed(tuple(names), leftovers, freed_bytes, await asyncio.to_thread(_free, app))


def _size_bytes(paths: Sequence[Path]) -> int:
    """Skips files that are gone: another process may have resumed a part, and finished it."""
    total_bytes = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total_bytes += path.lstat().st_size
    return total_bytes


def _free(app: App) -> int:
    folder = app.settings.models_dir
    return shutil.disk_usage(existing_folder(folder)).free


def _row(model: LocalModel, note: ModelNote, used: Usage) -> LocalModelRow:
    return LocalModelRow(
        model=model.name,
        source=model.source,
        repo=model.repo,
        revision=model.revision,
        quant=model.quant,
        size_bytes=model.size_bytes,
        files=tuple(file.name for file in model.files),
        location=model.location,
        fetched_at=model.fetched_at,
        used_at=note.used_at,
        pinned=note.pinned,
        verified_at=note.verified_at,
        damaged=note.damaged,
        running=used.launch_of(model),
        other_tool=model.other_tool,
        linked=model.linked,
    )
