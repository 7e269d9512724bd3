"""Headers of models on the hub and on this disk, read by workers: functions of plain data."""

from dataclasses import dataclass
from pathlib import Path

from catalog.hub.cache import Cache
from catalog.request import ModelRequest
from catalog.resolve import resolve
from catalog.synthetic import replica
from daemon.isolation.workers import Limits
from domain.catalogue_types import KnownModel
from domain.model import ResolvedModel, Weights

HEADER_WITHIN_S = 10.0
# The hub may be slow to answer, and many may wait for it; what it sends is small.
RESOLVING = Limits(deadline_s=600.0, cpu_s=45, at_once=32)


@dataclass(frozen=True, slots=True)
class ModelSources:
    """Where models are looked for. ``cache_dir`` has what the hub said before; ``places`` are folders where
    other tools keep weights."""

    catalogue: dict[str, KnownModel]
    models_dir: Path
    cache_dir: Path
    places: tuple[Path, ...]

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
