"""Reads the file of targets, which holds secrets: nothing of what it says of URLs is in an error.

A file that others may read or change is not used.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config import toml
from daemon.schedules.words import parse
from domain.errors import ConfigError, UsageError
from domain.events import EventKind, Level
from domain.launches.schedule import When
from domain.notifications import Target
from domain.suggestions import near

MAX_BYTES = 64 * 1024
TARGETS_MAX = 20
URL_MAX = 2048  # characters
KEYS = ("url", "level", "kinds", "quiet", "digest")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+-]{1,24}://[\x21-\x7e]+")
_PLACE = re.compile(r"\(at [^()]*\)$")


def read(path: Path) -> tuple[Target, ...]:
    """() where there is no such file. Blocks. Raises: ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint=_hint(path)) from error
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor))
        try:
            data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}", hint=_hint(path)) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes")
    return parsed(path, data)


def _check(path: Path, found: os.stat_result) -> None:
    """Raises: ConfigError for a file that another than its owner, root and this daemon may read or change."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is no file", hint="docs/notifications.md has an example of one")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path} belongs to another user (uid {found.st_uid}), who can change it",
            hint=f"chown {os.geteuid()} {path} && chmod 600 {path}",
        )
    mode = stat.S_IMODE(found.st_mode)
    of_service = found.st_uid == 0 != os.geteuid() and found.st_gid == os.getegid()
    if mode & (0o037 if of_service else 0o077):
        raise ConfigError(
            f"{path} holds secrets and has mode {mode:04o}: others can read or change it, so it is not used",
            hint=f"chmod {'640' if of_service else '600'} {path}",
        )


def _hint(path: Path) -> str:
    return f"sudo chown root:node-daemon {path} && sudo chmod 640 {path} lets the service read it"


def parsed(path: Path, data: bytes) -> tuple[Target, ...]:
    """Raises: ConfigError."""
    try:
        tables = toml.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        raise ConfigError(
            f"{path} is not TOML{f' {place[0]}' if place else ''}",
            hint="docs/notifications.md has an example of one",
        ) from None
    if len(tables) > TARGETS_MAX:
        raise ConfigError(f"{path} has {len(tables)} targets; at most {TARGETS_MAX} are possible")
    return tuple(_target(path, number, name, table) for number, (name, table) in enumerate(tables.items(), 1))


def _target(path: Path, number: int, name: str, table: Any) -> Target:
    """Raises: ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: the name of target {number} is not made of up to 32 letters, digits, - and _",
            hint='such as [phone], then url = "..." below it',
        )
    where = f"{path}: {name}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table", hint=f'write [{name}], then url = "..." below it')
    for key in table:
        if key not in KEYS:
            close = near(key, KEYS)
            raise ConfigError(
                f"{where} has a key that is not known",
                hint=f"did you mean {close[0]}?" if close else f"known are {', '.join(KEYS)}",
            )
    url, kinds = table.get("url"), _kinds(where, table)
    if not isinstance(url, str) or len(url) > URL_MAX or not _URL.fullmatch(url):
        raise ConfigError(f"{where} has no url of apprise", hint='such as url = "ntfys://TOPIC"')
    quiet, quiet_words = _times(where, table, "quiet", window=True)
    digest, digest_words = _times(where, table, "digest", window=False)
    return Target(name, url, _level(where, table, kinds), kinds, quiet, quiet_words, digest, digest_words)


def _level(where: str, table: Mapping[str, Any], kinds: frozenset[str]) -> Level | None:
    """By default that of warnings, or none where kinds are given."""
    if "level" not in table:
        return None if kinds else Level.WARNING
    if table["level"] not in list(Level):
        raise ConfigError(f"{where} has a level that is none of error, warning and info")
    return Level(table["level"])


def _kinds(where: str, table: Mapping[str, Any]) -> frozenset[str]:
    kinds = table.get("kinds", [])
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise ConfigError(f"{where}: kinds is no list of texts", hint='such as kinds = ["download_done"]')
    for number, kind in enumerate(kinds, 1):
        if kind not in list(EventKind):
            close = near(kind, [one.value for one in EventKind])
            raise ConfigError(
                f"{where}: kind {number} is none of an event",
                hint=f"did you mean {close[0]}?" if close else "node-ctl events shows kinds",
            )
    return frozenset(kinds)


def _times(
    where: str, table: Mapping[str, Any], key: str, *, window: bool
) -> tuple[When, str] | tuple[None, None]:
    if key not in table:
        return None, None
    example = f'such as {key} = "{"23:00-7:00" if window else "8:00"}"'
    try:
        when = parse(table[key])
    except (UsageError, AttributeError, TypeError):
        raise ConfigError(f"{where}: {key} is no time", hint=example) from None
    if (when.end is not None) is not window:
        raise ConfigError(f"{where}: {key} is {'no window' if window else 'a window'}", hint=example)
    return when, table[key]
