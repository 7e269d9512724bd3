"""A repository of the hub as a tree of files: headers by range, or from the cache."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.formats.base import NotCachedError
from catalog.formats.byte_source import ByteSource
from catalog.hub import client
from catalog.hub.cache import Cache
from domain.models.model import ModelShape, Source, WeightFile, Weights


@dataclass(frozen=True, slots=True)
class HubTree:
    """``online``: whether headers that are not cached may be fetched."""

    listing: client.Listing
    cache: Cache | None = None
    online: bool = True
    missing: tuple[str, ...] = ()
    is_remote: bool = True

    @property
    def origin(self) -> Weights:
        return Weights(Source.HUB, self.listing.repo, self.listing.commit, (), "", 0)

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return self.listing.files

    def open(self, name: str) -> ByteSource:
        if not self.online:
            raise NotCachedError(name)
        return client.open_file(self.listing, name)

    def cached_shape(self, names: Sequence[str]) -> ModelShape | None:
        return self.cache.shape(self._tags(names)) if self.cache else None

    def cache_shape(self, names: Sequence[str], shape: ModelShape) -> None:
        if self.cache:
            self.cache.store_shape(self._tags(names), shape)

    def _tags(self, names: Sequence[str]) -> list[str]:
        """What identifies each file's bytes: its digest, or its place in the repository's history."""
        digests = {file.name: file.sha256 for file in self.files}
        repo, commit = self.listing.repo, self.listing.commit
        return [digests.get(name) or f"{repo}@{commit}/{name}" for name in names]
