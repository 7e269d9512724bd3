"""Which slot of an engine has which conversation, and which one a request is to use. Pure.

A slot is what llama-server calls the cache of one sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from daemon.launches.conversations.prompt import Prompt

HALF_LIFE_S = 600.0  # what a conversation is worth that was not used for so long
# As llama-server chooses where it is not told: the slot whose beginning is that of this share of the prompt.
SIMILAR = 0.1
BYTES_PER_TOKEN = 4  # of text, where the engine did not count


@dataclass(slots=True)
class Slot:
    """``chain`` is that of the last request, () for an empty slot; ``size_bytes`` its text. ``tokens`` are
    those in the cache, ``prompt_tokens`` without its answer; ``None`` where the engine did not say. ``copy``
    names the file that held ``copied_tokens`` of it, and has all of it unless it ``changed`` since.
    ``restored``: it came from there, and no request has shown yet that the engine uses it."""

    id: int
    chain: tuple[bytes, ...] = ()
    size_bytes: int = 0
    tokens: int | None = None
    prompt_tokens: int | None = None
    used_s: float = -inf
    busy: int = 0
    copy: str | None = None
    copied_tokens: int = 0
    changed: bool = False
    restored: bool = False

    @property
    def likely_tokens(self) -> int:
        return self.size_bytes // BYTES_PER_TOKEN if self.tokens is None else self.tokens

    def empty(self) -> None:
        self.chain, self.size_bytes, self.tokens, self.prompt_tokens = (), 0, None, None
        self.copy, self.copied_tokens, self.changed, self.restored = None, 0, False, False


@dataclass(frozen=True, slots=True)
class Choice:
    """``continues``: the slot has this conversation. Else what it has is lost to it."""

    slot: Slot
    continues: bool


def choose(slots: Sequence[Slot], prompt: Prompt, now_s: float) -> Choice:
    """The slot that has the conversation; else an empty one; else the one that loses least. A busy slot is
    chosen only where all are."""
    idle = [slot for slot in slots if not slot.busy]
    own = max(idle, key=lambda slot: (prompt.common(slot.chain), slot.used_s), default=None)
    if own is not None and prompt.continues(own.chain):
        return Choice(own, continues=True)
    if idle:
        return Choice(
            min(idle, key=lambda slot: (_worth(slot, now_s), slot.used_s, slot.id)), continues=False
        )
    return Choice(min(slots, key=lambda slot: (slot.busy, not prompt.continues(slot.chain))), continues=False)


def predict(slots: Sequence[Slot], prompt: Prompt) -> Choice:
    """The slot that llama-server chooses by itself: the most similar one, else the one not used for longest
    (get_available_slot of tools/server/server-context.cpp)."""
    idle = [slot for slot in slots if not slot.busy] or list(slots)
    similar = max(idle, key=lambda slot: prompt.bytes_of(prompt.common(slot.chain)))
    if prompt.bytes_of(prompt.common(similar.chain)) > SIMILAR * prompt.size_bytes:
        return Choice(similar, continues=prompt.continues(similar.chain))
    return Choice(min(idle, key=lambda slot: (slot.used_s, slot.id)), continues=False)


def _worth(slot: Slot, now_s: float) -> float:
    return 0.0 if not slot.chain else slot.size_bytes * 2.0 ** (-(now_s - slot.used_s) / HALF_LIFE_S)
