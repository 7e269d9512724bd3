"""Weights of a repository that are complete on this disk: no network is needed for them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from catalog import resolved_models as of
from catalog.local import metadata
from catalog.request import FileSelection, ModelRequest
from domain.errors import BadModelError
from domain.model import ResolvedModel, Source, Weights
from domain.plan import VLLM

log = logging.getLogger(__name__)


def find(
    roots: Sequence[Path], repos: Iterable[str], revision: str | None, selection: FileSelection
) -> tuple[ResolvedModel, ...]:
    """Those of the first snapshot that has some for this engine, and of the quant that the name asks for. All
    ``roots`` are laid out as the hub's cache: ours first, then those of other tools. Raises: DownloadError
    for a link in ours that leads out of them all."""
    for repo in repos:
        for folder in (found for root in roots for found in metadata.snapshots(root, repo, revision)):
            if usable := tuple(
                one for one in _of_snapshot(repo, folder, selection, roots) if _is_wanted(one, selection)
            ):
                return usable
    return ()


def _of_snapshot(
    repo: str, folder: Path, selection: FileSelection, roots: Sequence[Path]
) -> Iterator[ResolvedModel]:
    """Of a link that leads out of all places it is an error in our own, as a fetch would take it for the
    file; what other tools made of theirs is passed over."""
    if path := metadata.led_out(folder, selection.filter(metadata.files_below(folder)), roots):
        if folder.is_relative_to(roots[0]):
            raise metadata.outside(path)
        log.info("snapshot leads out: folder=%s file=%s", folder, path.name)
        return
    try:
        everything = of.of_folder(
            folder, weights=Weights(Source.HUB, repo, folder.name, (), "", 0), selection=selection
        )
    except BadModelError as error:
        log.info("snapshot is not usable: folder=%s why=%s", folder, error)
        return
    for one in everything:
        if one.engine == VLLM and (missing := metadata.lacking(folder)):
            log.info("snapshot is not complete: folder=%s missing=%s", folder, ", ".join(missing[:3]))
        else:
            yield one


def _is_wanted(one: ResolvedModel, selection: FileSelection) -> bool:
    is_named = selection.file is None or any(file.name == selection.file for file in one.weights.files)
    return selection.engine in (None, one.engine) and selection.has_quant(one.weights.quant) and is_named


def suffice(local: tuple[ResolvedModel, ...], request: ModelRequest) -> bool:
    """Whether the hub need not be asked: one is of the quality that is asked for, or else one may fit."""
    if request.quality and not request.name.quant and not request.name.file:
        return any(model.weights.quant.upper() == request.quality.upper() for model in local)
    most_bytes = request.most_bytes
    return bool(local) and (not most_bytes or any(model.weights.size_bytes <= most_bytes for model in local))


def merge(local: tuple[ResolvedModel, ...], remote: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """All of ``local``, then those of ``remote`` that are not among them."""

    def key(model: ResolvedModel) -> tuple[str, str]:
        return model.engine, model.weights.quant.upper()

    present = set(map(key, local))
    return (*local, *(model for model in remote if key(model) not in present))
