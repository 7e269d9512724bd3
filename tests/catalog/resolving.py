"""Resolves a name as the daemon does: parsed once, then looked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalog import resolve as catalog_resolve
from catalog.hub.cache import Cache
from catalog.names import Catalogue, parse
from catalog.request import ModelRequest
from domain.models.model import ResolvedModel


def resolve(
    name: str,
    *,
    catalogue: Catalogue,
    models_dir: Path,
    cache: Cache | None = None,
    places: Sequence[Path] = (),
    **options: Any,
) -> tuple[ResolvedModel, ...]:
    """``options`` are those of a ``ModelRequest``."""
    request = ModelRequest(parse(name, catalogue), **options)
    return catalog_resolve.resolve(
        request, catalogue=catalogue, models_dir=models_dir, cache=cache, places=places
    )
