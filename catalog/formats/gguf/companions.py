"""The headers of files beside a model that a launch can use: its projector, and what drafts for it."""

import dataclasses
import logging
from collections.abc import Iterable, Sequence

from catalog.formats.base import FileTree, NotCachedError
from catalog.formats.gguf import reader
from domain.errors import BadModelError, DownloadError
from domain.kinds import Kind
from domain.model import Companion, ModelShape, ResolvedModel

log = logging.getLogger(__name__)

MAX_DRAFTS = 3  # whose headers are read: publishers have one, sometimes in several quants


def with_shapes(tree: FileTree, models: tuple[ResolvedModel, ...]) -> tuple[ResolvedModel, ...]:
    """``models``, which have the same files beside them."""
    shapes = read_shapes(tree, models[0].weights.beside)
    return (
        tuple(dataclasses.replace(model, companion_shapes=shapes) for model in models) if shapes else models
    )


def read_shapes(tree: FileTree, companions: Sequence[Companion]) -> dict[str, ModelShape]:
    """By file name. One that can't be read is left out: the model is served without it."""
    shapes: dict[str, ModelShape] = {}
    for companion in (*_first(companions, Kind.PROJECTOR, 1), *_first(companions, Kind.DRAFT, MAX_DRAFTS)):
        name = companion.file.name
        try:
            shape = tree.cached_shape((name,)) or reader.read_model(name, tree.open)
        except NotCachedError:
            continue
        except (BadModelError, DownloadError) as error:
            log.warning("file is not usable: repo=%s file=%s why=%s", tree.origin.repo, name, error)
            continue
        tree.cache_shape((name,), shape)
        shapes[name] = shape
    return shapes


def _first(companions: Iterable[Companion], role: Kind, count: int) -> list[Companion]:
    """They are sorted by preference."""
    return [companion for companion in companions if companion.role is role][:count]
