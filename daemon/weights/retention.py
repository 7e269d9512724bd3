"""Which weights go when room is needed: a pure decision."""

from collections.abc import Collection, Mapping, Sequence

from domain.local_model import LocalModel, ModelNote


def select_deletions(
    stored: Sequence[LocalModel], notes: Mapping[str, ModelNote], *, used: Collection[str], lacking_bytes: int
) -> tuple[LocalModel, ...]:
    """The least recently used first, as many as give back ``lacking_bytes``, or all that may go. What was
    never used counts from when it came. Never what is used, pinned, or another tool's."""
    free_to_go = [
        one
        for one in stored
        if one.name not in used and not one.other_tool and not one.linked and not _note(one, notes).pinned
    ]
    chosen: list[LocalModel] = []
    for one in sorted(free_to_go, key=lambda one: _note(one, notes).used_at or one.fetched_at or ""):
        if sum(gone.size_bytes for gone in chosen) >= lacking_bytes:
            break
        chosen.append(one)
    return tuple(chosen)


def _note(one: LocalModel, notes: Mapping[str, ModelNote]) -> ModelNote:
    return notes.get(one.name, ModelNote(one.name))
