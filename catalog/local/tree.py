"""A folder on this disk as a tree of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.formats.byte_source import ByteSource, FileSource
from domain.models.model import ModelShape, Source, WeightFile, Weights


@dataclass(frozen=True, slots=True)
class LocalTree:
    """``repo`` is the hub's repository that the folder is a snapshot of. Its headers are not cached: they are
    read without a network."""

    folder: Path
    files: tuple[WeightFile, ...]
    repo: str | None = None
    missing: tuple[str, ...] = ()
    is_remote: bool = False

    @property
    def origin(self) -> Weights:
        location = str(self.folder)
        if self.repo is None:
            return Weights(Source.FILE, location, None, (), "", 0, location)
        return Weights(Source.HUB, self.repo, self.folder.name, (), "", 0, location)

    def open(self, name: str) -> ByteSource:
        return FileSource(self.folder / name)

    def cached_shape(self, names: Sequence[str]) -> ModelShape | None:
        del names
        return None

    def cache_shape(self, names: Sequence[str], shape: ModelShape) -> None:
        del names, shape
