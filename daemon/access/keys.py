"""Keys for the rest of the daemon: add, list, revoke, and whose key a request has."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from daemon.access import secret
from daemon.app import App
from daemon.state.records import KeyRecord, now
from domain.errors import StateError, UsageError
from domain.events import EventKind
from domain.priority import Priority
from domain.request_rate import RequestRate, parse_request_rate
from domain.suggestions import did_you_mean

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_KEYS = 256
MAX_NAME_CHARS = 63
USED_EVERY = timedelta(minutes=1)  # how exactly the last use is stored


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is shown of a key."""

    name: str
    created: str
    last_used: str | None
    models: tuple[str, ...]
    priority: Priority
    rate: str | None


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may do. Without ``models``, all of them; ``rate``: ``60/min``, ``100000 tokens/hour``."""

    models: tuple[str, ...] = ()
    priority: Priority = Priority.INTERACTIVE
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class AddedKey:
    name: str
    key: str


async def read_keys(app: App) -> None:
    """At the start of the daemon."""
    for record in await app.store.run(app.store.keys.all):
        app.access.keys[record.id] = record


def rows(app: App) -> list[KeyRow]:
    return [_row(key) for key in app.access.keys.values()]


def _row(key: KeyRecord) -> KeyRow:
    rate = None if key.rate is None else str(key.rate)
    return KeyRow(key.name, key.created, key.last_used, key.models, key.priority, rate)


def named(app: App, name: str) -> KeyRecord | None:
    return next((key for key in app.access.keys.values() if key.name == name), None)


async def add(app: App, name: str, limits: KeyLimits = KeyLimits()) -> AddedKey:
    """The key, which nobody can show again. Raises: UsageError for a name in use; StateError."""
    if not name.isascii() or not name.isprintable() or not 0 < len(name.strip()) <= MAX_NAME_CHARS:
        raise UsageError(f"{name[:80]!r} can't be the name of a key", hint="up to 63 characters of ASCII")
    if any(key.name == name for key in app.access.keys.values()):
        raise UsageError(f"there is a key {name!r} already", hint=f"node-ctl keys revoke {name} ends it")
    if len(app.access.keys) >= MAX_KEYS:
        raise UsageError(f"there are {MAX_KEYS} keys, which is the most", hint="node-ctl keys revoke NAME")
    rate = _rate(limits.rate)
    made = await _hashing(app, secret.make)
    record = KeyRecord(
        name, made.id, made.hash, now(), models=limits.models, priority=limits.priority, rate=rate
    )
    await app.store.run(app.store.keys.save, record)
    app.access.keys[made.id] = record
    app.access.changed.notify_all()
    await app.events.append(EventKind.KEY_ADDED, f"key {name} may ask the gateway")
    return AddedKey(name, made.text)


def _rate(text: str | None) -> RequestRate | None:
    try:
        return None if text is None else parse_request_rate(text)
    except ValueError as error:
        raise UsageError(str(error), hint="a number per s, min, hour or day; tokens if it says so") from error


async def revoke(app: App, name: str) -> KeyRow:
    """From now on it opens nothing. Raises: UsageError for a name that is none; StateError."""
    for key in tuple(app.access.keys.values()):
        if key.name == name:
            app.access.proved.pop(key.id, None)
            app.access.allowances.pop(key.name, None)
            del app.access.keys[
                key.id
            ]  # first: a use that is stored after it is forgotten would bring it back
            try:
                await app.store.run(app.store.keys.forget, name)
            except StateError:
                app.access.keys[key.id] = key
                raise
            await app.events.append(EventKind.KEY_REVOKED, f"key {name} may no longer ask the gateway")
            return _row(key)
    names = [key.name for key in app.access.keys.values()]
    hint = did_you_mean(name, names) if names else "there are none: node-ctl keys add NAME makes one"
    raise UsageError(f"no key is called {name!r}", hint=hint)


async def owner_of(app: App, text: str) -> str | None:
    """The name of the key ``text``; ``None`` for one that is none, or no longer."""
    number = secret.id_in(text)
    record = None if number is None else app.access.keys.get(number)
    if record is None:
        return None
    digest = hashlib.blake2b(text.encode(), key=app.access.salt).digest()
    if not hmac.compare_digest(app.access.proved.get(record.id, b""), digest):
        async with app.access.proving:
            if not await _hashing(app, secret.matches, text, record.hash):
                return None
        if app.access.keys.get(record.id) is None:  # revoked meanwhile
            return None
        app.access.proved[record.id] = digest
    await _note_use(app, record)
    return record.name


async def _hashing(app: App, function: Callable[..., T], *args: str) -> T:
    return await asyncio.get_running_loop().run_in_executor(app.access.hashing, function, *args)


async def _note_use(app: App, record: KeyRecord) -> None:
    at = now()
    if (
        record.last_used
        and datetime.fromisoformat(at) - datetime.fromisoformat(record.last_used) < USED_EVERY
    ):
        return
    used = replace(record, last_used=at)
    app.access.keys[record.id] = used
    try:
        await app.store.run(app.store.keys.save, used)
    except StateError as error:
        log.warning("use of a key not stored: %s", error)
