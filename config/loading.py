"""Reads the settings, once for ``main``: the command line overrides the environment, and that the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from config import data, paths
from config.expected import wrong_value
from config.settings import Settings
from config.sources import COMMAND_LINE, ENVIRONMENT, SettingProblem, Source, read_environment, read_file
from domain.errors import ConfigError

DEFAULT = "default"
MASKED = "********"
NO_FILE = Source("no settings file")
PORTS = ("port_first", "port_last")  # compared with each other by ``Settings``


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, the origin of each that has one, and what was wrong. A value that is wrong counts as not
    given. ``file_values`` are those of the settings ``file``, as written."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[SettingProblem, ...] = ()
    file: Path | None = None
    file_values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file_problems(self) -> tuple[SettingProblem, ...]:
        return tuple(one for one in self.problems if one.origin not in (ENVIRONMENT, COMMAND_LINE))


def load(config_file: Path | None = None, **given: Any) -> Settings:
    """The settings of this process. ``given`` are command-line values; ``None``: not on the command line.

    Raises: ConfigError with the file or variable, the key, and the nearest key that exists.
    """
    loaded = read(config_file, **given)
    if loaded.problems:
        raise loaded.problems[0].as_error()
    return loaded.settings


def read(config_file: Path | None = None, **given: Any) -> Loaded:
    """As ``load``, with all problems instead of the first as an error."""
    path = config_file or paths.config_file()
    return combine(path, read_file(path) if path else NO_FILE, given)


def combine(path: Path | None, file: Source, given: Mapping[str, Any]) -> Loaded:
    """The settings with the values of ``file``. Raises: ConfigError where not even the defaults are valid."""
    line = Source(COMMAND_LINE, {key: value for key, value in given.items() if value is not None})
    sources = [file, read_environment(), line]
    problems = [problem for source in sources for problem in source.problems]
    values = {source.origin: dict(source.values) for source in sources}
    while True:
        merged, origins = _merged(values)
        try:
            settings = Settings(**(_places(merged, path) | merged))
        except ValidationError as error:
            problems += _take_out(error, values, origins, file.lines)
            continue
        wrong = _catalogue_problem(settings, origins, file.lines)
        if wrong is None:
            return Loaded(settings, origins, _in_order(problems, sources), path, file.values)
        problems.append(wrong)
        del values[wrong.origin]["catalogue"]


def _in_order(problems: Sequence[SettingProblem], sources: Sequence[Source]) -> tuple[SettingProblem, ...]:
    """Those of the file by line, then those of the variables and of the command line."""
    place = {source.origin: index for index, source in enumerate(sources)}
    return tuple(sorted(problems, key=lambda one: (place[one.origin], one.line or 0)))


def effective(loaded: Loaded) -> list[dict[str, Any]]:
    """Each setting with its value and origin, ready for JSON. Secrets are masked."""
    rows = []
    for name, value in loaded.settings.model_dump(mode="json").items():
        shown = MASKED if value is not None and _is_secret(name) else value
        rows.append({"name": name, "value": shown, "origin": loaded.origins.get(name, DEFAULT)})
    return rows


def _is_secret(name: str) -> bool:
    annotation = Settings.model_fields[name].annotation
    return SecretStr in (annotation, *get_args(annotation))


def _merged(values: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, given in values.items():
        merged |= given
        origins |= dict.fromkeys(given, origin)
    return merged, origins


def _places(merged: Mapping[str, Any], file: Path | None) -> dict[str, Path | None]:
    named = merged.get("state_dir")
    state = Path(named) if isinstance(named, str | Path) and str(named) else paths.state_dir()
    return {
        "state_dir": state,
        "models_dir": paths.models_dir(state),
        "engines_dir": paths.engines_dir(state),
        "socket": paths.socket_path(state),
        "notify_file": (file or paths.config_places()[0]).with_name("notify.toml"),
        "hub_cache": paths.hub_cache(),
        "ollama_models": paths.ollama_models(),
    }


def _take_out(
    error: ValidationError,
    values: Mapping[str, dict[str, Any]],
    origins: Mapping[str, str],
    lines: Mapping[str, int],
) -> list[SettingProblem]:
    """The problems, whose values are taken out of ``values``. Raises: ConfigError for a wrong default."""
    problems = []
    for detail in error.errors():
        keys = [str(detail["loc"][0])] if detail["loc"] else [key for key in PORTS if key in origins]
        key = keys[-1] if keys else ""
        origin = origins.get(key, DEFAULT)
        if detail["loc"]:
            masked = MASKED if _is_secret(key) else ""
            message, hint = wrong_value(key, detail, is_variable=origin == ENVIRONMENT, masked=masked)
        else:
            message, hint = (
                str(detail["ctx"]["error"]),
                "port_first to port_last is the range of engines' ports",
            )
        if origin == DEFAULT:
            raise ConfigError(f"{DEFAULT}: {message}", hint=hint)
        problems.append(_problem(key, message, hint, origins, lines))
        for key in keys:
            values[origins[key]].pop(key, None)
    return problems


def _catalogue_problem(
    settings: Settings, origins: Mapping[str, str], lines: Mapping[str, int]
) -> SettingProblem | None:
    """Of the file that ``catalogue`` names: without it the daemon does not start."""
    if settings.catalogue is None:
        return None
    try:
        data.catalogue(settings.catalogue)
    except ConfigError as error:
        return _problem("catalogue", f"catalogue: {error}", error.hint, origins, lines)
    return None


def _problem(
    key: str, message: str, hint: str, origins: Mapping[str, str], lines: Mapping[str, int]
) -> SettingProblem:
    in_file = origins[key] not in (ENVIRONMENT, COMMAND_LINE)
    return SettingProblem(origins[key], message, hint, key, lines.get(key) if in_file else None)
