"""Settings for a daemon that must come up: those of the last good start where the settings file is wrong."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import last_good, loading
from config.last_good import LastGood
from config.loading import Loaded
from config.settings import Settings
from config.sources import SettingProblem, Source
from domain.errors import ConfigError

log = logging.getLogger(__name__)


def load(config_file: Path | None, given: Mapping[str, Any]) -> Loaded:
    """The settings; where the settings file has problems, with all its values as of the last good start.

    Raises: ConfigError where there was no such start, and for a wrong variable or argument."""
    loaded = loading.read(config_file, **given)
    if not loaded.problems:
        return loaded
    last = last_good.recall(_place(given))
    if last is None or len(loaded.file_problems) < len(loaded.problems):
        raise loaded.problems[0].as_error()
    return _with(last, loaded, given, loaded.problems)


def previous(loaded: Loaded, given: Mapping[str, Any], error: ConfigError) -> Loaded | None:
    """The settings of the last good start, if they are others than those with which ``error`` was raised."""
    last = last_good.recall(_place(given))
    if loaded.problems or last is None or last.values == loaded.file_values:
        return None
    return _with(last, loaded, given, (SettingProblem(str(loaded.file), str(error), error.hint),))


def remember(loaded: Loaded, given: Mapping[str, Any], *, at: str) -> None:
    """A daemon serves with ``loaded`` since ``at``. Blocks."""
    if loaded.problems:
        return
    file = None if loaded.file is None else str(loaded.file)
    try:
        last_good.store(_place(given), LastGood(file, at, loaded.file_values))
    except OSError as error:
        log.warning("settings not stored for a later start: %s", error)


def _place(given: Mapping[str, Any]) -> Path:
    return last_good.place(given.get("state_dir"))


def _with(
    last: LastGood, loaded: Loaded, given: Mapping[str, Any], problems: tuple[SettingProblem, ...]
) -> Loaded:
    known = {key: value for key, value in last.values.items() if key in Settings.model_fields}
    source = Source(f"settings file as of {last.stored_at}", known)
    return replace(loading.combine(loaded.file, source, given), problems=problems)
