"""The headers of files beside a model that a launch can use: its projector, and what drafts for it."""

import dataclasses
import logging
from collections.abc import Iterable, Sequence

from catalog.formats.base import FileTree, NotCachedError
from catalog.formats.gguf import reader
from domain.errors import BadModelError, DownloadError
from domain.models.kinds import Kind
from domain.models.model import Companion, ModelShape, PassedOver, ResolvedModel
from domain.models.projection import mismatch

log = logging.getLogger(__name__)

MAX_DRAFTS = 3  # whose headers are read: publishers have one, sometimes in several quants
MAX_PROJECTORS = 4  # that are read to find the model's own


def with_shapes(tree: FileTree, models: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """``models``, quants of one which have the same files beside them, without projectors of another
    model."""
    beside = models[0].weights.beside
    shapes, unfit = read_shapes(tree, beside, models[0].shape)
    if not shapes and not unfit:
        return models
    kept = tuple(companion for companion in beside if companion.file.name not in unfit)
    notes = () if any(companion.role is Kind.PROJECTOR for companion in kept) else _blind(unfit)
    rows = tuple(PassedOver(name, why) for name, why in unfit.items())
    return tuple(
        dataclasses.replace(
            model,
            weights=dataclasses.replace(
                model.weights, beside=kept, passed_over=(*model.weights.passed_over, *rows)
            ),
            companion_shapes=shapes,
            notes=(*model.notes, *notes),
        )
        for model in models
    )


def read_shapes(
    tree: FileTree, companions: Sequence[Companion], model: ModelShape
) -> tuple[dict[str, ModelShape], dict[str, str]]:
    """By file name: the shapes of what ``model`` can use, and why a projector is not its own. A file that
    can't be read is left out: the model is served without it."""
    shapes: dict[str, ModelShape] = {}
    unfit: dict[str, str] = {}
    for companion in _first(companions, Kind.PROJECTOR, MAX_PROJECTORS):
        name = companion.file.name
        if (shape := _shape(tree, name)) is None:
            continue
        if why := mismatch(shape, model):
            unfit[name] = why
            continue
        shapes[name] = shape
        break
    for companion in _first(companions, Kind.DRAFT, MAX_DRAFTS):
        if shape := _shape(tree, companion.file.name):
            shapes[companion.file.name] = shape
    return shapes, unfit


def _shape(tree: FileTree, name: str) -> ModelShape | None:
    try:
        shape = tree.cached_shape((name,)) or reader.read_model(name, tree.open)
    except NotCachedError:
        return None
    except (BadModelError, DownloadError) as error:
        log.warning("file is not usable: repo=%s file=%s why=%s", tree.origin.repo, name, error)
        return None
    tree.cache_shape((name,), shape)
    return shape


def _blind(unfit: dict[str, str]) -> tuple[str, ...]:
    """For a model whose projectors are all of others."""
    return tuple(f"no images: {name} is not used, {why}" for name, why in unfit.items())


def _first(companions: Iterable[Companion], role: Kind, count: int) -> list[Companion]:
    """They are sorted by preference."""
    return [companion for companion in companions if companion.role is role][:count]
