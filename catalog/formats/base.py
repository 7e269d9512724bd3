"""What a format of model weights offers, and the files that it is read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from catalog.formats.byte_source import ByteSource
from catalog.request import FileSelection
from domain.errors import BadModelError
from domain.models.model import ModelShape, ResolvedModel, WeightFile, Weights

MISSING_FILES = "put what is missing beside the rest; if the repository lacks it: node-ctl search"
MAX_CONCURRENT_READS = 6


class NotCachedError(Exception):
    """A file whose header is not cached, and that can't be read now."""


class NoModelError(BadModelError):
    """Files of the format, of which none is a model: another format may have one."""


class FileTree(Protocol):
    """The files of one repository or folder, open to any number of threads. ``origin`` is what weights among
    them inherit: source, repository, revision, location. ``missing`` are files that are known to be absent.
    ``is_remote``: every byte that is read is fetched. ``open`` raises NotCachedError, DownloadError or
    BadModelError."""

    @property
    def origin(self) -> Weights: ...
    @property
    def files(self) -> tuple[WeightFile, ...]: ...
    @property
    def missing(self) -> tuple[str, ...]: ...
    @property
    def is_remote(self) -> bool: ...
    def open(self, name: str) -> ByteSource: ...
    def cached_shape(self, names: Sequence[str]) -> ModelShape | None: ...
    def cache_shape(self, names: Sequence[str], shape: ModelShape) -> None: ...


@dataclass(frozen=True, slots=True)
class QuantFiles:
    """One quant, complete: all its files, in order. ``quant`` is empty if names don't tell it."""

    quant: str
    files: tuple[WeightFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes or 0 for file in self.files)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.files)


class Format(Protocol):
    """A module that ``registry.FORMATS`` names."""

    ENGINE: str  # that loads it

    def complete_quants(self, tree: FileTree) -> tuple[QuantFiles, ...]:
        """By the names of the files alone: nothing is read."""

    def read_models(self, tree: FileTree, selection: FileSelection) -> tuple[ResolvedModel, ...]:
        """With shapes from the headers; those that are unusable are left out if others are usable. Empty if
        the tree has no file of this format. Raises: BadModelError, NoModelError, DownloadError."""
