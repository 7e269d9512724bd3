"""Weights of a repository that are complete on this disk: no network is needed for them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from catalog import resolved_models as of
from catalog.local import metadata
from domain.errors import BadModelError
from domain.model import ResolvedModel, Source, Weights
from domain.plan import VLLM

log = logging.getLogger(__name__)


def found(
    roots: Sequence[Path], repos: Iterable[str], revision: str | None, needed: of.FileSelection
) -> tuple[ResolvedModel, ...]:
    """Those of the first snapshot that has some for this engine, and of the quant that the name asks for. All
    ``roots`` are laid out as the hub's cache: ours first, then those of other tools. Raises: DownloadError
    for a link in ours that leads out of them all."""
    for repo in repos:
        for folder in (found for root in roots for found in metadata.snapshots(root, repo, revision)):
            if usable := tuple(
                one for one in _of_snapshot(repo, folder, needed, roots) if _is_wanted(one, needed)
            ):
                return usable
    return ()


def _of_snapshot(
    repo: str, folder: Path, needed: of.FileSelection, roots: Sequence[Path]
) -> Iterator[ResolvedModel]:
    """Of a link that leads out of all places it is an error in our own, as a fetch would take it for the
    file; what other tools made of theirs is passed over."""
    if path := metadata.led_out(folder, needed.among(metadata.files_below(folder)), roots):
        if folder.is_relative_to(roots[0]):
            raise metadata.outside(path)
        log.info("snapshot leads out: folder=%s file=%s", folder, path.name)
        return
    try:
        everything = of.of_folder(
            folder, weights=Weights(Source.HUB, repo, folder.name, (), "", 0), needed=needed
        )
    except BadModelError as error:
        log.info("snapshot is not usable: folder=%s why=%s", folder, error)
        return
    for one in everything:
        if one.engine == VLLM and (missing := metadata.lacking(folder)):
            log.info("snapshot is not complete: folder=%s missing=%s", folder, ", ".join(missing[:3]))
        else:
            yield one


def _is_wanted(one: ResolvedModel, needed: of.FileSelection) -> bool:
    is_named = needed.file is None or any(file.name == needed.file for file in one.weights.files)
    return needed.engine in (None, one.engine) and needed.names(one.weights.quant) and is_named


def is_enough(here: tuple[ResolvedModel, ...], needed: of.FileSelection, quality: str | None) -> bool:
    """Whether nobody has to be asked: a wished quality is here, or else something that may fit."""
    if quality and not needed.quant and not needed.file:
        return any(one.weights.quant.upper() == quality.upper() for one in here)
    most_bytes = needed.most_bytes
    return bool(here) and (not most_bytes or any(one.weights.size_bytes <= most_bytes for one in here))


def joined(
    here: tuple[ResolvedModel, ...], elsewhere: tuple[ResolvedModel, ...]
) -> tuple[ResolvedModel, ...]:
    """Of a quant that is both here and elsewhere, the one that is here."""
    held = {(one.engine, one.weights.quant.upper()) for one in here}
    return (*here, *(one for one in elsewhere if (one.engine, one.weights.quant.upper()) not in held))
