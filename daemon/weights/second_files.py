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
    files = tuple(
        companion.file
        for companion in companions
        if weights.location is None
        or not layout.is_whole(Path(weights.location) / companion.file.name, companion.file.size_bytes)
    )
    if not files:
        return None
    label = " and ".join(
        dict.fromkeys(LABELS.get(companion.role, companion.role) for companion in companions)
    )
    size_bytes = sum(file.size_bytes or 0 for file in files)
    return replace(weights, files=files, quant=label, size_bytes=size_bytes, location=None, beside=())
