"""Takes a newer catalogue from the address that is set, and goes back to the one that ships."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from catalog.feed.signed_file import parse_key
from config import catalogue as config_catalogue
from config import data
from daemon.app import App
from daemon.state.records import now
from daemon.weights.catalogue import record as catalogue_record
from daemon.weights.catalogue.published import READING, Keys
from daemon.weights.catalogue.record import CatalogueRecord, Verdict
from domain.errors import CatalogueError, DownloadError, NodeError, UsageError
from domain.events import EventKind
from domain.models.catalogue_types import KnownModel

log = logging.getLogger(__name__)

EVERY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CatalogueUpdate:
    """``version`` and ``date`` are those of what the address has; ``changed`` whether it is in use now and
    was not before."""

    version: int
    date: str
    previous_version: int
    changed: bool
    newer: bool
    added: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)


async def update(app: App, *, check: bool = False, skip: int = 0) -> CatalogueUpdate:
    """With ``check`` nothing is changed, and the version ``skip`` is not taken.

    Raises: UsageError without an address; DownloadError; CatalogueError; WorkerLimitError. Nothing is changed
    then."""
    url = app.settings.catalogue_url
    if url is None:
        raise UsageError(
            "no address of a newer catalogue is set",
            hint="set catalogue_url to that of a signed catalogue (docs/models.md), and restart the daemon",
        )
    if app.settings.offline:
        raise DownloadError("a newer catalogue is fetched, and offline is set", hint="set offline to false")
    async with app.known.lock:
        return await _update(app, url, check=check, skip=skip)


async def _update(app: App, url: str, *, check: bool, skip: int) -> CatalogueUpdate:
    what = f"reading the catalogue of {urlsplit(url).netloc}"
    keys = await asyncio.to_thread(_keys, app)
    file, (version, date, models) = await app.adapters.workers.run(
        what, Keys.fetch, keys, url, now()[:10], limits=READING
    )
    record = await asyncio.to_thread(catalogue_record.read, _record_path(app))
    digest = catalogue_record.digest_of(file)
    verdict = catalogue_record.judge(record, version, digest, built_in=config_catalogue.VERSION)
    usable = verdict is not Verdict.BUILT_IN_IS_NEWER and version not in (app.known.version, skip)
    added, altered = catalogue_record.changes(app.catalogue, models) if usable else ([], [])
    found = CatalogueUpdate(
        version,
        date,
        app.known.version,
        changed=usable and not check,
        newer=usable,
        added=added,
        altered=altered,
    )
    if check:
        return found
    merged = None
    if usable:
        merged = await asyncio.to_thread(data.catalogue, app.settings.catalogue, models)
        record = CatalogueRecord(version, digest, reverted=skip)
    await asyncio.to_thread(_store, app, replace(record, asked_at=now()), file if usable else None)
    if merged is not None:
        app.known.use(merged, models, version, date)
        message = f"version {version} of {date}: {len(added)} new models, {len(altered)} changed"
        await app.events.append(EventKind.CATALOGUE_UPDATED, message)
    return found


async def revert(app: App) -> int | None:
    """Back to the catalogue that ships; the version that was in use, ``None`` if that was the one. Raises:
    OSError."""
    async with app.known.lock:
        version = app.known.version
        if version == config_catalogue.VERSION:
            return None
        record = await asyncio.to_thread(catalogue_record.read, _record_path(app))
        await asyncio.to_thread(catalogue_record.write, _record_path(app), replace(record, reverted=version))
        await asyncio.to_thread(_path(app).unlink, missing_ok=True)
        await asyncio.to_thread(_use, app, config_catalogue.VERSION, None, {})
        await app.events.append(
            EventKind.CATALOGUE_UPDATED, f"back from version {version} to the catalogue of the program"
        )
        return version


async def load(app: App) -> None:
    """What was taken before. What can't be used any more is set aside and told; that is never fatal."""
    path = _path(app)
    if not await asyncio.to_thread(path.is_file):
        return
    try:
        version, date, models = await app.adapters.workers.run(
            f"reading {path}", Keys.read_stored, await asyncio.to_thread(_keys, app), path, limits=READING
        )
    except (NodeError, RuntimeError) as error:  # the second: an OSError in the worker
        await _tell_rejected(app, error)
        return
    if version <= config_catalogue.VERSION:
        log.info(
            "the catalogue of the program is newer: version=%d stored=%d", config_catalogue.VERSION, version
        )
        return
    try:
        await asyncio.to_thread(_use, app, version, date, models)
    except NodeError as error:  # an owner's file that changes an entry which is there no more
        await _tell_rejected(app, error)


async def _tell_rejected(app: App, error: Exception) -> None:
    path = _path(app)
    text, kept = str(error).partition("\n")[0], ""
    if isinstance(error, CatalogueError):  # else another try may read it
        aside = path.with_name(f"{path.name}.rejected")
        await asyncio.to_thread(path.replace, aside)
        kept = f"; it is kept as {aside}"
    app.known.problem = f"{text}: the catalogue of the program is used{kept}"
    log.warning("catalogue not used: %s", app.known.problem)
    await app.events.append(EventKind.CATALOGUE_REJECTED, app.known.problem)


async def update_weekly(app: App) -> None:
    """The job. What its owner went back from is not taken again."""
    if app.settings.catalogue_url is None or app.settings.offline:
        return
    record = await asyncio.to_thread(catalogue_record.read, _record_path(app))
    if record.asked_at and _since(record.asked_at) < EVERY:
        return
    await update(app, skip=record.reverted)


def _since(text: str) -> timedelta:
    """Of a clock that was set back: long ago."""
    try:
        passed = datetime.now(UTC) - datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return EVERY
    return passed if passed >= timedelta(0) else EVERY


def _use(app: App, version: int, date: str | None, models: dict[str, KnownModel]) -> None:
    app.known.use(data.catalogue(app.settings.catalogue, models), models, version, date)


def _store(app: App, record: CatalogueRecord, file: bytes | None) -> None:
    """The number first: if the power fails between the two, the same file is taken by the next update."""
    catalogue_record.write(_record_path(app), record)
    if file is not None:
        catalogue_record.write_whole(_path(app), file)


def _keys(app: App) -> Keys:
    own = app.settings.catalogue_key
    return Keys((*data.catalogue_keys(), *([parse_key(own)] if own else ())))


def _path(app: App) -> Path:
    return app.settings.state_dir / "catalogue" / "newer.signed"


def _record_path(app: App) -> Path:
    return app.settings.state_dir / "catalogue" / "newest.json"
