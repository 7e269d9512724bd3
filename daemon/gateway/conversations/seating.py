"""A seat for a request: the slot of the engine that it uses, from before it is sent until it is answered."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from daemon.gateway.conversations.digest import MESSAGES, prompt_of
from daemon.gateway.conversations.normalise import normalised
from daemon.gateway.metrics import HEAD_BYTES, TAIL_BYTES, tokens_of
from daemon.launches.conversations.keeping import Conversations
from daemon.launches.conversations.prompt import Prompt
from daemon.launches.conversations.slots import Slot, choose, predict
from daemon.launches.launch import Launch
from domain.errors import EngineError

log = logging.getLogger(__name__)

COUNTED = "/v1/messages/count_tokens"
LARGE_BYTES = 256 * 1024  # of a body: read in a thread, so that other streams go on meanwhile
# llama-server makes a request of its own of one to this path, and leaves out the number of a slot (b10434).
UNSTEERED = "/v1/messages"


@dataclass(slots=True, eq=False)
class Seat:
    """``body`` is the request as it is sent. It ``is_sure`` where the engine is told its slot."""

    conversations: Conversations
    slot: Slot
    prompt: Prompt
    body: bytes
    is_sure: bool
    _head: bytes = b""
    _tail: list[bytes] = field(default_factory=list)
    _left: bool = False

    def heard(self, part: bytes) -> None:
        """Of the answer; the engine's figures are at its end."""
        if not self._head:
            self._head = part[:HEAD_BYTES]
        self._tail = [*self._tail[-1:], part[-TAIL_BYTES:]]

    def leave(self, *, used: bool) -> None:
        """``used``: the engine has read the request, in whole or in part."""
        if self._left:
            return
        self._left = True
        self.slot.busy -= 1
        if not used:
            return
        if self.is_sure:
            self._note(self.slot)
        else:
            self.conversations.then(self._note_used_slot())

    def _note(self, slot: Slot) -> None:
        found = tokens_of(self._head + b"".join(self._tail))
        self.conversations.after(
            slot, self.prompt, prompt_tokens=found.prompt, cached=found.cached, answer=found.answer
        )

    async def _note_used_slot(self) -> None:
        """The engine chose it: that of its latest request, unless there are others."""
        slots, number = self.conversations.slots, self.slot.id
        if not any(slot.busy for slot in slots):
            with suppress(EngineError, TimeoutError):
                async with asyncio.timeout(2.0):
                    number = await self.conversations.last_used()
        self._note(slots[number] if number < len(slots) else self.slot)


async def take_seat(
    launch: Launch, path: str, body: bytes | None, *, normalises: bool
) -> tuple[bytes | None, Seat | None]:
    """The body to send, and its seat; ``None`` for a request that needs none. The seat is to be left."""
    path = path.partition("?")[0]
    if body is None or (path not in MESSAGES and path != COUNTED):
        return body, None
    if normalises:
        large = len(body) >= LARGE_BYTES
        body = await asyncio.to_thread(normalised, body) if large else normalised(body)
    kept = launch.conversations
    if kept is None or path == COUNTED:
        return body, None
    read = await asyncio.to_thread(_read, path, body) if len(body) >= LARGE_BYTES else _read(path, body)
    if read is None or not kept.slots:
        return body, None
    prompt, is_steered = read
    now_s = asyncio.get_running_loop().time()
    choice = choose(kept.slots, prompt, now_s) if is_steered else predict(kept.slots, prompt)
    if is_steered:
        body = _with_slot(body, choice.slot.id)
    seat = Seat(kept, choice.slot, prompt, body, is_steered)
    seat.slot.busy += 1
    try:
        await kept.seat(choice.slot, prompt, continues=choice.continues)
    except BaseException:  # a client that left meanwhile
        seat.leave(used=False)
        raise
    return body, seat


def _read(path: str, body: bytes) -> tuple[Prompt, bool] | None:
    """The prompt, and whether the engine can be told a slot. ``None`` for what the engine is to judge."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        prompt = prompt_of(path, fields)
    except (msgspec.DecodeError, RecursionError):
        return None
    if prompt is None or "id_slot" in fields or bytes(fields.get("n", b"1")) != b"1":
        return None
    return prompt, path != UNSTEERED


def _with_slot(body: bytes, slot: int) -> bytes:
    """The rest of it byte for byte."""
    return b'{"id_slot":%d,' % slot + body.lstrip()[1:]
