"""Binaries of an engine, from where they may lie to what they say of themselves."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from domain.errors import EngineError
from domain.hardware import EngineFound
from launchers.base import Capabilities

log = logging.getLogger(__name__)


class Ask(Protocol):
    def __call__(self, path: str, *, cache_dir: Path | None = None) -> Capabilities: ...


def query_all(
    engine: str, paths: Iterable[Path], ask: Ask, *, cache_dir: Path | None
) -> tuple[EngineFound, ...]:
    """Each binary once, by the first path under which it is found; one that gives no answer with the
    reason as its problem. Starts children."""
    found: dict[str, EngineFound] = {}
    for path in paths:
        real = os.path.realpath(path)
        if real in found or not (path.is_file() and os.access(path, os.X_OK)):
            continue
        try:
            caps = ask(str(path), cache_dir=cache_dir)
        except EngineError as error:
            log.warning("an engine gives no answer: path=%s error=%s", path, error.in_full)
            found[real] = EngineFound(engine, str(path), problem=error.in_full)
        else:
            found[real] = EngineFound(engine, str(path), caps.version, caps.backends, caps.problem)
    return tuple(found.values())
