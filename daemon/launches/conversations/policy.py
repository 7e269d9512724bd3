"""When a conversation is worth a copy, which copy a request can use, and what goes to make room. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.launches.conversations.prompt import Prompt
from daemon.state.records import ConversationCopy

# Where nothing was measured yet: a SATA disk, and a processor without a GPU.
WRITE_BYTES_PER_S = 200e6
PREFILL_TOKENS_PER_S = 100.0
LEAST_TOKENS = 128  # fewer are read again sooner than they are found
# Of what it would take to read them again, a copy may take this share to write: as a conversation goes on, it
# is written each time that it has grown enough, and the disk is not worn for little.
WRITE_SHARE = 0.5
MAX_COPIES = 32  # of one launch


@dataclass(frozen=True, slots=True)
class Rates:
    """As measured, ``None`` where nothing was."""

    prefill_tokens_per_s: float | None = None
    write_bytes_per_s: float | None = None
    bytes_per_token: float | None = None


def is_worth_writing(tokens: int, copied_tokens: int, rates: Rates) -> bool:
    """Whether the tokens that no copy has would take longer to read than a new copy to write."""
    if tokens < LEAST_TOKENS:
        return False
    missing_s = (tokens - copied_tokens) / (rates.prefill_tokens_per_s or PREFILL_TOKENS_PER_S)
    write_s = tokens * (rates.bytes_per_token or 0.0) / (rates.write_bytes_per_s or WRITE_BYTES_PER_S)
    return missing_s > 0 and write_s <= WRITE_SHARE * missing_s


def find_copy(copies: Iterable[ConversationCopy], prompt: Prompt) -> ConversationCopy | None:
    """The copy with most of ``prompt``, of the same conversation."""
    own = [copy for copy in copies if copy.chain and prompt.continues(copy.chain)]
    return max(own, key=lambda copy: (prompt.common(copy.chain), copy.used_at), default=None)


@dataclass(frozen=True, slots=True)
class Room:
    """Where a new copy goes: to the file ``file``, once those in ``goes`` are gone."""

    file: str
    goes: tuple[ConversationCopy, ...] = ()


def make_room(
    copies: Sequence[ConversationCopy], own: str, needed_bytes: int, limit_bytes: int, *, removes: bool
) -> Room | None:
    """``copies`` of all launches may have ``limit_bytes`` together; those of ``own`` are the launch's. Those
    not used for longest go first. Where files can't be removed, as those of an engine with a user of its own,
    one is written over. ``None`` where it has no place."""
    total = sum(copy.size_bytes for copy in copies) + needed_bytes
    mine = [copy for copy in copies if copy.launch == own]
    if not removes:
        return _over(mine, total, limit_bytes)
    goes: list[ConversationCopy] = []
    for copy in sorted(copies, key=lambda copy: copy.used_at):
        if total <= limit_bytes:
            break
        goes.append(copy)
        total -= copy.size_bytes
    kept = [copy for copy in mine if copy not in goes]
    if len(kept) >= MAX_COPIES:
        goes.append(min(kept, key=lambda copy: copy.used_at))
    file = _free_name(copy.file for copy in mine if copy not in goes)
    return Room(file, tuple(goes)) if total <= limit_bytes and file is not None else None


def _over(mine: Sequence[ConversationCopy], total: int, limit_bytes: int) -> Room | None:
    free = _free_name(copy.file for copy in mine)
    if total <= limit_bytes and free is not None:
        return Room(free)
    least = min(mine, key=lambda copy: (bool(copy.chain), copy.used_at), default=None)
    if least is None or total - least.size_bytes > limit_bytes:
        return None
    return Room(least.file, (least,))


def _free_name(files: Iterable[str]) -> str | None:
    taken = set(files)
    names = (f"conversation-{number}.bin" for number in range(MAX_COPIES))
    return next((name for name in names if name not in taken), None)
