"""Where settings come from: file, environment, command line. What is wrong with one is a value, no error."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import toml
from config.settings import PREFIX, Settings
from domain.errors import ConfigError
from domain.suggestions import near

NOT_SETTINGS = frozenset({"NODE_DAEMON_CONFIG"})  # names the settings file, so it can't be in one
ENVIRONMENT = "environment"
COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """What is wrong with ``key`` of ``origin``, a file or one of the constants above. ``key`` is ``None``
    where a file can't be read, ``line`` where the origin has none."""

    origin: str
    message: str
    hint: str = ""
    key: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.origin}{'' if self.line is None else f':{self.line}'}: {self.message}"

    def as_error(self) -> ConfigError:
        return ConfigError(str(self), hint=self.hint)


@dataclass(frozen=True, slots=True)
class Source:
    """The values that one origin gives. ``lines`` are those of the keys in a file."""

    origin: str
    values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[SettingProblem, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)


def read_file(path: Path) -> Source:
    origin = str(path)

    def failed(message: str, hint: str, line: int | None = None) -> Source:
        return Source(origin, problems=(SettingProblem(origin, message, hint, line=line),))

    if not path.is_file():
        return failed("no such file", "it is named by --config or NODE_DAEMON_CONFIG")
    try:
        text = path.read_text()
        values = toml.loads(text)
    except OSError as error:
        return failed(error.strerror or str(error), "node-daemon must be able to read it")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message, _, line = str(error).partition(" (at line ")
        number = line.split(",")[0]
        hint = "the settings file is TOML: key = value"
        return failed(message, hint, int(number) if number.isdecimal() else None)
    lines = _lines(text, values)
    unknown = tuple(
        _unknown(key, origin, lines.get(key)) for key in values if key not in Settings.model_fields
    )
    known = {key: value for key, value in values.items() if key in Settings.model_fields}
    return Source(origin, known, unknown, lines)


def read_environment() -> Source:
    """A variable that is empty counts as not set."""
    variables = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    unknown = tuple(
        _unknown(variable, ENVIRONMENT, prefix=PREFIX)
        for variable in os.environ
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS and variable not in variables
    )
    values = {
        variables[name.upper()]: value
        for name, value in os.environ.items()
        if value and name.upper() in variables
    }
    return Source(ENVIRONMENT, values, unknown)


def _lines(text: str, keys: Iterable[str]) -> dict[str, int]:
    """The line on which each of ``keys`` is set, a table of that name included."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.match(r"[\s\[\"']{0,64}([\w-]{1,64})", line)
        if match and match[1] in keys:
            found.setdefault(match[1], number)
    return found


def _unknown(key: str, origin: str, line: int | None = None, *, prefix: str = "") -> SettingProblem:
    """``prefix`` is that of the variables, whose names are in upper case."""
    names = [field.upper() if prefix else field for field in Settings.model_fields]
    found = ", ".join(f"{prefix}{one}" for one in near(key.removeprefix(prefix), names))
    hint = f"did you mean {found}?" if found else "docs/settings.md lists all settings"
    return SettingProblem(origin, f"unknown setting {key!r}", hint, key, line)
