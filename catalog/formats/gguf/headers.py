"""The headers of a tree's GGUF files, each read once, and the kinds that they say.

From a server the vocabulary, nearly all of a header, is read for one quant and taken as read for the others
that have their tensor table at the same place.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from catalog.formats.base import MAX_CONCURRENT_READS, FileTree, NotCachedError, QuantFiles
from catalog.formats.gguf import reader
from catalog.formats.gguf.grouping import Family
from domain.errors import BadModelError
from domain.models.classification import draft_method_of, kind_of
from domain.models.kinds import DraftMethod, Kind
from domain.models.model import ModelShape

log = logging.getLogger(__name__)


class Headers:
    """``errors`` has why a file is not usable, by the name of the first of its parts."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._shapes: dict[str, ModelShape] = {}
        self._similar: list[reader.Header] = []
        self.errors: dict[str, BadModelError] = {}

    def read(self, quants: Sequence[QuantFiles]) -> None:
        """Those that are not read yet. Raises: DownloadError."""
        for quant in quants:
            name = quant.names[0]
            if name not in self._shapes and (shape := self._tree.cached_shape(quant.names)):
                self._shapes[name] = shape
        unread = [quant for quant in quants if quant.names[0] not in self._shapes.keys() | self.errors.keys()]
        with (
            ThreadPoolExecutor(MAX_CONCURRENT_READS) as pool,
            ThreadPoolExecutor(2 * MAX_CONCURRENT_READS) as parts_pool,
        ):
            if not self._similar:
                for quant in unread[:1]:
                    self._read(quant, parts_pool)  # alone: the others reuse its vocabulary
                unread = unread[1:]
            list(pool.map(lambda quant: self._read(quant, parts_pool), unread))

    def _read(self, quant: QuantFiles, parts_pool: Executor) -> None:
        name = quant.names[0]
        similar, pool = (self._similar, parts_pool) if self._tree.is_remote else (None, None)
        try:
            shape = reader.read_model(name, self._tree.open, similar=similar, pool=pool)
        except NotCachedError:
            return
        except BadModelError as error:
            log.warning("file is not usable: repo=%s file=%s why=%s", self._tree.origin.repo, name, error)
            self.errors[name] = error
            return
        self._tree.cache_shape(quant.names, shape)
        self._shapes[name] = shape

    def shape(self, quant: QuantFiles) -> ModelShape | None:
        """``None`` for one that is not usable, or was not read."""
        return self._shapes.get(quant.names[0])

    def shape_of_any(self, family: Family) -> ModelShape | None:
        return next((shape for quant in family.quants if (shape := self.shape(quant))), None)

    def kind(self, family: Family) -> Kind:
        """What a header of the family says, else what its name suggests."""
        shape = self.shape_of_any(family)
        return kind_of(shape) if shape else family.kind or Kind.MODEL

    def draft_method(self, family: Family) -> DraftMethod | None:
        """A model that is named a draft is one of the simple kind."""
        shape = self.shape_of_any(family)
        return (draft_method_of(shape) or DraftMethod.SIMPLE) if shape else None


def first_of(quants: Iterable[QuantFiles], wanted: str | None) -> QuantFiles:
    """The quant that is asked for, or the smallest."""
    ordered = list(quants)
    return next((item for item in ordered if wanted and item.quant.upper() == wanted.upper()), ordered[0])
