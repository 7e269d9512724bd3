"""The conversations of one running llama-server: which slot has which, copied to files and taken back.

What is kept here decides where a request goes, never what it gets: an engine compares the tokens of a request
with those of its slot, and reads what is missing.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daemon.launches.conversations import policy
from daemon.launches.conversations.copies import Copies, Counts
from daemon.launches.conversations.prompt import Prompt
from daemon.launches.conversations.slots import Slot
from domain.errors import EngineError
from domain.events import EventKind
from domain.launches.launch import KeptConversations
from launchers import readiness
from launchers.llama_cpp import slots as engine_slots

if TYPE_CHECKING:
    from daemon.app import App

QUIET_S = 3.0  # of quiet: an agent's next request often comes at once
SAVE_ALL_S = 20.0  # of the 90 s that systemd gives the daemon to end
RESTORE_ALL_S = 20.0
MISSES = 2  # restores in a row that an engine made nothing of: one may be a client that changed its prompt


@dataclass(frozen=True, slots=True)
class Useless:
    """What is restored does nothing for a build and a model."""

    misses: int


@dataclass(slots=True)
class Conversations:
    """For the event loop only. ``copies`` are those that this engine can take back."""

    app: "App"
    copies: Copies
    saves: bool = True
    closed: bool = False
    slots: list[Slot] = field(default_factory=list)
    misses: int = 0
    _locks: list[asyncio.Lock] = field(default_factory=list)
    _copying: "dict[int, asyncio.Task[None]]" = field(default_factory=dict)
    _running: "set[asyncio.Task[None]]" = field(default_factory=set)

    def __post_init__(self) -> None:
        self.slots = [Slot(number) for number in range(self.copies.keeps.slots)]
        self._locks = [asyncio.Lock() for _ in self.slots]

    @property
    def counts(self) -> Counts:
        return self.copies.counts

    def kept(self) -> KeptConversations:
        copies = self.copies.all.values()
        return KeptConversations(
            in_memory=0 if self.closed else sum(bool(slot.chain) for slot in self.slots),
            on_disk=len(copies),
            disk_bytes=sum(copy.size_bytes for copy in copies),
            saves=self.saves,
        )

    async def seat(self, slot: Slot, prompt: Prompt, *, continues: bool) -> None:
        """Makes ``slot``, which is lent to this request, ready for it: what it has of another conversation is
        copied if it is worth it, and a copy of this one taken back."""
        self._cancel_copying(slot)
        self.counts.requests += 1
        self.counts.continued += continues
        if continues or not self.saves:
            return
        async with self._locks[slot.id]:
            if slot.busy > 1:
                return
            copy = policy.find_copy(self.copies.all.values(), prompt)
            if self._is_worth_saving(slot):
                await self._save(slot)
            if copy is not None and self.copies.all.get(copy.file) is copy:
                await self.copies.restore(slot, copy)

    def after(
        self,
        slot: Slot,
        prompt: Prompt,
        *,
        prompt_tokens: int | None = None,
        cached: int | None = None,
        answer: int | None = None,
    ) -> None:
        """A request of ``slot`` was answered, or broke off. Tokens are ``None`` where it did not say."""
        expected = slot.prompt_tokens if slot.restored else None
        if expected is not None and cached is not None and prompt.common(slot.chain) == len(slot.chain):
            self._judge(expected, cached)
        if not prompt.continues(slot.chain):  # the copy is of another conversation, and stays
            slot.empty()
        slot.chain, slot.size_bytes, slot.used_s = prompt.chain, prompt.size_bytes, _now_s()
        slot.prompt_tokens = prompt_tokens
        slot.tokens = None if prompt_tokens is None else prompt_tokens + (answer or 0)
        slot.changed, slot.restored = True, False
        if self.saves and not slot.busy and not self.closed:
            self._cancel_copying(slot)
            copying = asyncio.create_task(
                self._copy_when_quiet(slot), name=f"copy {self.copies.keeps.launch}:{slot.id}"
            )
            self._copying[slot.id] = copying

    def then(self, work: Coroutine[Any, Any, None]) -> None:
        """Done after the call that asks for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def last_used(self) -> int:
        """The slot of the engine's latest request. Raises: EngineError."""
        async with readiness.client(self.copies.keeps.command) as http:
            states = await engine_slots.last_tasks(http)
        return max(states, key=lambda state: state.task).id if states else 0

    async def take_for_question(self) -> int:
        """The slot for a short request of no conversation: the one that loses least, empty from now on. What
        it had is copied before, if it is worth it."""
        idle = [slot for slot in self.slots if not slot.busy] or self.slots
        slot = min(idle, key=lambda slot: (bool(slot.chain), slot.used_s, slot.id))
        return await self._emptied(slot)

    async def take_all(self) -> None:
        """For what is to fill the whole cache."""
        for slot in self.slots:
            await self._emptied(slot)

    async def _emptied(self, slot: Slot) -> int:
        self._cancel_copying(slot)
        if not slot.busy and slot.chain:
            async with self._locks[slot.id]:
                if self.saves and self._is_worth_saving(slot):
                    await self._save(slot)
                slot.empty()
        slot.used_s = _now_s()
        return slot.id

    async def save_all(self) -> None:
        """Before the engine is ended. A slot that is busy keeps the copy of its last turn."""
        self.close()
        kept = sorted((slot for slot in self.slots if slot.chain), key=lambda slot: -slot.used_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(SAVE_ALL_S):
                for slot in kept if self.saves else ():
                    async with self._locks[slot.id]:
                        if not slot.busy and self._is_long(slot) and not self._has_copy(slot):
                            await self._save(slot)

    async def restore_all(self) -> int:
        """After the engine has started: those used last, one for each slot. Returns how many."""
        restored = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(RESTORE_ALL_S):
                latest = sorted(self.copies.all.values(), key=lambda copy: -copy.used_at)
                for copy in latest[: len(self.slots)] if self.saves else ():
                    restored += await self.copies.restore(self.slots[restored], copy)
        return restored

    async def settled(self) -> None:
        """Until every slot that is to be copied is."""
        await asyncio.gather(*self._copying.values(), return_exceptions=True)

    def close(self) -> None:
        self.closed = True
        for slot in self.slots:
            self._cancel_copying(slot)

    def _is_long(self, slot: Slot) -> bool:
        return slot.likely_tokens >= policy.LEAST_TOKENS

    def _has_copy(self, slot: Slot) -> bool:
        """Of all of it."""
        return slot.copy in self.copies.all and not slot.changed

    def _is_worth_saving(self, slot: Slot) -> bool:
        if self._has_copy(slot) or not slot.chain:
            return False
        return policy.is_worth_writing(slot.likely_tokens, slot.copied_tokens, self.copies.rates)

    def _cancel_copying(self, slot: Slot) -> None:
        copying = self._copying.get(slot.id)
        if copying is not None and not self._locks[slot.id].locked():  # one that writes is soon done
            copying.cancel()
            del self._copying[slot.id]

    async def _copy_when_quiet(self, slot: Slot) -> None:
        await asyncio.sleep(QUIET_S)
        async with self._locks[slot.id]:
            if not slot.busy and self._is_worth_saving(slot):
                await self._save(slot)

    async def _save(self, slot: Slot) -> None:
        try:
            await self.copies.save(slot)
        except EngineError as error:
            await self._refused(error)

    def _judge(self, expected: int, cached: int) -> None:
        """The first request after a restore shows whether the engine made anything of it."""
        if cached >= expected // 2:
            self.misses = 0
            return
        self.misses += 1
        if self.misses >= MISSES:
            self.saves = False
            self.then(self._give_up(expected, cached))

    async def _give_up(self, expected: int, cached: int) -> None:
        name = self.copies.keeps.launch
        self.close()
        await self.app.store.record(self.copies.keeps.key, Useless(self.misses))
        await self.copies.remove(tuple(self.copies.all.values()))
        message = f"{name}: its engine made nothing of what was restored ({cached} of {expected} tokens)"
        hint = "conversations of this model and build are not saved any more, and read again after a restart"
        await self.app.events.append(EventKind.CONVERSATIONS_LOST, f"{message}; {hint}", launch=name)

    async def _refused(self, error: EngineError) -> None:
        if not self.saves:
            return
        self.saves = False
        name = self.copies.keeps.launch
        if error.cause == "not_supported":  # else it may work with the next engine: a disk may be full
            await self.app.store.record(self.copies.keeps.key, Useless(0))
        message = (
            f"{name}: its engine can't save conversations, which are read again after a restart: {error}"
        )
        await self.app.events.append(EventKind.CONVERSATIONS_LOST, message, launch=name)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
