"""Copies of slots in files: written, taken back, and removed to make room."""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.launches.conversations import files, policy
from daemon.launches.conversations.policy import Rates
from daemon.launches.conversations.slots import Slot
from daemon.state.records import ConversationCopy
from domain.errors import EngineError, StateError
from launchers import readiness
from launchers.command import Command
from launchers.llama_cpp import slots as engine_slots

if TYPE_CHECKING:
    from daemon.app import App

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Of a launch, over all engines of this daemon. ``continued``: requests that went to the slot that had
    their conversation."""

    requests: int = 0
    continued: int = 0
    restored: int = 0
    saved: int = 0
    saved_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Keeps:
    """What must be known of an engine to keep its conversations. ``key`` is what is remembered of its build
    and model: whether it makes anything of what is restored. ``removes``: its files are ours to remove."""

    launch: str
    command: Command
    identity: str
    key: str
    slots: int
    rates: Rates
    removes: bool = True


@dataclass(slots=True)
class Copies:
    """``all`` are those that this engine can take back, by their file."""

    app: "App"
    keeps: Keeps
    counts: Counts
    all: dict[str, ConversationCopy] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # two copies must not choose the same file
    _write_rate: float | None = None
    _bytes_per_token: float | None = None

    @property
    def rates(self) -> Rates:
        """As measured here, else as planned."""
        planned = self.keeps.rates
        return Rates(
            planned.prefill_tokens_per_s, self._write_rate, self._bytes_per_token or planned.bytes_per_token
        )

    async def save(self, slot: Slot) -> None:
        """Raises: EngineError where the engine refuses; every other failure is logged."""
        async with self._lock:
            await self._save(slot)

    async def _save(self, slot: Slot) -> None:
        keeps, chain = self.keeps, slot.chain
        needed = int(slot.likely_tokens * (self.rates.bytes_per_token or 0))
        try:
            stored = await self.app.store.run(self.app.store.conversations.all)
            limit = await asyncio.to_thread(files.limit_bytes, self.app, stored)
            room = policy.make_room(stored, keeps.launch, needed, limit, removes=keeps.removes)
            if room is None:
                log.info("no room for a conversation: launch=%s bytes=%d", keeps.launch, needed)
                return
            await self.remove(room.goes)
            began = _now_s()
            async with readiness.client(keeps.command) as http:
                moved = await engine_slots.save(http, slot.id, room.file)
            took_s = _now_s() - began
            if slot.chain is not chain:
                return
            if not moved.tokens:  # the engine needed its memory for another one
                slot.empty()
                return
            copy = self._copy_of(slot, room.file, moved)
            await self.app.store.run(self.app.store.conversations.save, copy)
        except (EngineError, StateError, OSError) as error:
            log.warning("conversation not saved: launch=%s %s", keeps.launch, error)
            if isinstance(error, EngineError) and error.cause in ("refused", "not_supported"):
                raise
            return
        self._note_saved(slot, copy, took_s)
        earlier = self.all.get(slot.copy or "")
        slot.copy = copy.file
        if earlier is not None and earlier is not copy:
            await self.remove((earlier,))

    def _copy_of(self, slot: Slot, file: str, moved: engine_slots.Moved) -> ConversationCopy:
        return ConversationCopy(
            self.keeps.launch,
            file,
            self.keeps.identity,
            slot.chain,
            slot.size_bytes,
            moved.tokens,
            slot.prompt_tokens,
            moved.size_bytes,
            time.time(),
        )

    def _note_saved(self, slot: Slot, copy: ConversationCopy, took_s: float) -> None:
        self.all[copy.file] = copy
        slot.copied_tokens, slot.changed = copy.tokens, False
        self.counts.saved += 1
        self.counts.saved_bytes += copy.size_bytes
        self._bytes_per_token = copy.size_bytes / copy.tokens
        self._write_rate = copy.size_bytes / max(took_s, 1e-3)
        log.info(
            "conversation saved: launch=%s slot=%d tokens=%d bytes=%d s=%.3f",
            self.keeps.launch,
            slot.id,
            copy.tokens,
            copy.size_bytes,
            took_s,
        )

    async def restore(self, slot: Slot, copy: ConversationCopy) -> bool:
        try:
            async with readiness.client(self.keeps.command) as http:
                moved = await engine_slots.restore(http, slot.id, copy.file)
        except EngineError as error:
            log.warning("conversation not restored: launch=%s %s", self.keeps.launch, error)
            slot.empty()
            if error.cause == "refused":  # not for an engine that has ended
                await self.remove((copy,))
            return False
        slot.empty()
        slot.chain, slot.size_bytes, slot.tokens = copy.chain, copy.text_bytes, moved.tokens
        slot.prompt_tokens, slot.copy, slot.copied_tokens = copy.prompt_tokens, copy.file, moved.tokens
        slot.restored, slot.used_s = True, _now_s()
        self.counts.restored += 1
        log.info(
            "conversation restored: launch=%s slot=%d tokens=%d", self.keeps.launch, slot.id, moved.tokens
        )
        return True

    async def remove(self, copies: Iterable[ConversationCopy]) -> None:
        """Of any launch."""
        for copy in copies:
            launch = self.app.launches.get(copy.launch)
            if launch is not None and launch.conversations is not None:
                launch.conversations.copies.all.pop(copy.file, None)
            with suppress(StateError, OSError):
                await files.remove(self.app, copy)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
