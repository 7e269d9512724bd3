"""Which weights are in use: by launches, from their plan to their end, and by downloads."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.local import layout
from daemon.app import App
from domain.models.local_model import LocalModel
from domain.models.model import Weights


@dataclass(frozen=True, slots=True)
class Usage:
    """By where the bytes are: two names may lead to the same. ``parts`` are files of unfinished downloads
    that will be resumed; ``paths`` is all of it, with the links that lead there."""

    launches: Mapping[str, str]
    downloads: frozenset[str]
    parts: frozenset[Path]
    paths: frozenset[Path]

    def launch_of(self, model: LocalModel) -> str | None:
        """The launch that uses ``model`` or is planned with it."""
        launches = (self.launches.get(file.real_path) for file in model.files)
        return next((launch for launch in launches if launch is not None), None)

    def is_downloading(self, model: LocalModel) -> bool:
        return any(file.real_path in self.downloads for file in model.files)

    def is_used(self, model: LocalModel) -> bool:
        return self.launch_of(model) is not None or self.is_downloading(model)


async def current(app: App) -> Usage:
    """Launches count from their plan to their end; weights that are still to be downloaded count by the
    folder that they will be in."""
    planned = {
        launch.name: launch.plan.weights
        for launch in app.launches.values()
        if launch.plan is not None and not launch.is_at_rest
    }
    downloads = [download.weights for download in app.downloads.under_way]
    pulls = [pull.weights for pull in app.pulls.values() if pull.weights is not None and not pull.is_over]
    return await asyncio.to_thread(_usage, planned, [*downloads, *pulls], app.settings.models_dir)


def _usage(planned: Mapping[str, Weights], downloads: Sequence[Weights], models_dir: Path) -> Usage:
    """Blocks."""
    launches = {
        path: launch for launch, weights in planned.items() for path in _real_paths(weights, models_dir)
    }
    parts = {
        part
        for weights in (*planned.values(), *downloads)
        for file in weights.files
        if (part := layout.part_of(weights, file, models_dir)) is not None
    }
    downloading = {path for weights in downloads for path in _real_paths(weights, models_dir)}
    links = {path for weights in (*planned.values(), *downloads) for path in _paths(weights, models_dir)}
    paths = frozenset({*links, *parts, *map(Path, launches), *map(Path, downloading)})
    return Usage(launches, frozenset(downloading), frozenset(parts), paths)


def _real_paths(weights: Weights, models_dir: Path) -> list[str]:
    return [str(path.resolve()) for path in _paths(weights, models_dir)]


def _paths(weights: Weights, models_dir: Path) -> list[Path]:
    folder = Path(weights.location) if weights.location else layout.folder_of(weights, models_dir)
    return [folder / file.name for file in weights.files]
