"""The files beside a model that its plan uses: they are fetched with it, and by a pull that comes before."""

from dataclasses import replace
from pathlib import Path

from catalog.local import layout
from domain.launches.plan import EngineFlags, LlamaFlags
from domain.models.kinds import Kind
from domain.models.model import Companion, Weights

LABELS = {Kind.PROJECTOR: "projector", Kind.DRAFT: "draft"}


def used(weights: Weights, flags: EngineFlags) -> tuple[Companion, ...]:
    if not isinstance(flags, LlamaFlags):
        return ()
    names = {flags.mmproj, flags.draft_model}
    return tuple(companion for companion in weights.beside if companion.file.name in names)


def projector(weights: Weights) -> tuple[Companion, ...]:
    """The preferred one."""
    return tuple(companion for companion in weights.beside if companion.role is Kind.PROJECTOR)[:1]


def missing(weights: Weights, companions: tuple[Companion, ...]) -> Weights | None:
    """Those of ``companions`` that are not complete beside ``weights``, to be fetched; ``None`` if all are.
    Blocks."""
    lacking = [companion for companion in companions if not _is_here(weights, companion)]
    if not lacking:
        return None
    files = tuple(companion.file for companion in lacking)
    return replace(
        weights,
        revision=lacking[0].revision or weights.revision,
        files=files,
        quant=" and ".join(dict.fromkeys(LABELS.get(one.role, one.role) for one in lacking)),
        size_bytes=sum(file.size_bytes or 0 for file in files),
        location=None,
        beside=(),
    )


def _is_here(weights: Weights, companion: Companion) -> bool:
    if weights.location is None or companion.revision is not None:
        return False
    return layout.is_whole(Path(weights.location) / companion.file.name, companion.file.size_bytes)
