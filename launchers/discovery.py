"""Inspects the binaries of an engine that may be installed."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from domain.errors import EngineError
from domain.machine.hardware import InstalledEngine
from launchers.base import Capabilities

log = logging.getLogger(__name__)


class Inspect(Protocol):
    def __call__(self, path: str, *, cache_dir: Path | None = None) -> Capabilities: ...


def query_all(
    engine: str, paths: Iterable[Path], inspect: Inspect, *, cache_dir: Path | None
) -> tuple[InstalledEngine, ...]:
    """Each binary once, under the first path that leads to it; one that does not answer with the reason as
    its problem. Starts children."""
    by_real_path: dict[str, InstalledEngine] = {}
    for path in paths:
        real = os.path.realpath(path)
        if real in by_real_path or not (path.is_file() and os.access(path, os.X_OK)):
            continue
        try:
            caps = inspect(str(path), cache_dir=cache_dir)
        except EngineError as error:
            log.warning("engine does not answer: path=%s error=%s", path, error.in_full)
            by_real_path[real] = InstalledEngine(engine, str(path), problem=error.in_full)
        else:
            by_real_path[real] = InstalledEngine(engine, str(path), caps.version, caps.backends, caps.problem)
    return tuple(by_real_path.values())
