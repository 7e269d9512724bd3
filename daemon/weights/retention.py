"""Selects the weights to delete when space is needed. Pure."""

from collections.abc import Collection, Mapping, Sequence

from domain.models.local_model import LocalModel, ModelNote


def select_deletions(
    models: Sequence[LocalModel],
    notes: Mapping[str, ModelNote],
    *,
    used: Collection[str],
    missing_bytes: int,
) -> tuple[LocalModel, ...]:
    """The least recently used first, as many as free ``missing_bytes``, or all that may go. A model that was
    never used counts from when it was fetched. Never what is used, pinned, or another tool's."""

    def last_use(model: LocalModel) -> str:
        return _note(model, notes).used_at or model.fetched_at or ""

    deletable = [
        model
        for model in models
        if model.name not in used
        and not model.other_tool
        and not model.linked
        and not _note(model, notes).pinned
    ]
    selected: list[LocalModel] = []
    for model in sorted(deletable, key=last_use):
        if sum(gone.size_bytes for gone in selected) >= missing_bytes:
            break
        selected.append(model)
    return tuple(selected)


def _note(model: LocalModel, notes: Mapping[str, ModelNote]) -> ModelNote:
    return notes.get(model.name, ModelNote(model.name))
