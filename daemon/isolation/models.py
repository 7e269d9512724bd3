"""The models that have an alias, and headers on the hub and on this disk, which workers read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalog.hub.cache import Cache
from catalog.request import ModelRequest
from catalog.resolve import resolve
from catalog.synthetic import replica
from config import catalogue
from config.settings import Settings
from daemon.isolation.workers import Limits
from domain.models.catalogue_types import KnownModel
from domain.models.model import ResolvedModel, Weights

HEADER_WITHIN_S = 10.0
# The hub may be slow to answer, and many may wait for it; what it sends is small.
RESOLVING = Limits(deadline_s=600.0, cpu_s=45, at_once=32)


@dataclass(slots=True)
class KnownModels:
    """The catalogue in use. ``version`` and ``date`` are those of a newer one that was fetched, else the
    program's; ``problem`` says why one that was fetched is not used. ``lock``: one change at a time."""

    models: Mapping[str, KnownModel]
    origins: Mapping[str, str]
    version: int = catalogue.VERSION
    date: str | None = None
    problem: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def built_in(cls, models: Mapping[str, KnownModel]) -> "KnownModels":
        """What ships, with the owner's own file."""
        return cls(models, catalogue.origins(models, {}))

    def use(
        self,
        models: Mapping[str, KnownModel],
        published: Mapping[str, KnownModel],
        version: int,
        date: str | None,
    ) -> None:
        self.origins = catalogue.origins(models, published)
        self.models, self.version, self.date, self.problem = models, version, date, None


@dataclass(frozen=True, slots=True)
class ModelSources:
    """Where models are looked for. ``cache_dir`` has what the hub said before; ``places`` are folders where
    other tools keep weights."""

    catalogue: dict[str, KnownModel]
    models_dir: Path
    cache_dir: Path
    places: tuple[Path, ...]

    @classmethod
    def of(cls, settings: Settings, models: Mapping[str, KnownModel]) -> "ModelSources":
        return cls(dict(models), settings.models_dir, settings.state_dir / "seen", tuple(settings.places))

    def resolve(self, request: ModelRequest) -> tuple[ResolvedModel, ...]:
        """Raises: as ``catalog.resolve.resolve``."""
        return resolve(
            request,
            catalogue=self.catalogue,
            models_dir=self.models_dir,
            cache=Cache(self.cache_dir),
            places=self.places,
        )


def write_replica(weights: Weights, folder: Path) -> Path:
    """Raises: as ``replica.write``."""
    return replica.write(weights, folder, within_s=HEADER_WITHIN_S)
