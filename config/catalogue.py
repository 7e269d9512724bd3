"""The model catalogue by alias: a file per family in ``catalog/``, a newer one that was fetched, then the
owner's own file."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from catalog.names import REPO_NAME, checked_path
from config import toml
from domain.errors import BadModelError, CatalogueError, ConfigError
from domain.models.catalogue_types import KnownModel, KnownQuant, PypiFile, Sampling, VllmRepo
from domain.models.model import Chat
from domain.serialization import from_json, to_json
from domain.suggestions import did_you_mean

FOLDER = Path(__file__).parent / "catalog"
BUILT_IN, UPDATE, OWN = "built-in", "update", "own"
VERSION = 1  # of what ships: a published catalogue is newer if its version is higher
MAX_VERSION = 2**31
HEAD = ("version", "date", "expires")  # of a published catalogue: no aliases
PUBLISHERS = "whoever publishes it has to mend it; a newer node-daemon may understand it"
KINDS = ("native", "fp8", "awq", "gptq", "nvfp4", "mxfp4")
_NESTED = {"vllm": VllmRepo, "quants": KnownQuant, "pypi": PypiFile, "chat": Chat, "sampling": Sampling}
_ALIAS = re.compile(r"[A-Za-z0-9][\w.-]*")
Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Published:
    """A catalogue that its maintainers published apart from the program. It is used until ``expires``, if it
    says so, by those who fetch it; what was fetched is used longer."""

    version: int
    date: str
    models: dict[str, KnownModel]
    expires: str | None = None


def catalogue(
    extra: Path | None = None, published: Mapping[str, KnownModel] = MappingProxyType({})
) -> dict[str, KnownModel]:
    """``published`` entries are added, or replace shipped ones. ``extra`` is an owner's own file: its entries
    are added, or replace the keys that they give in another entry of the same alias.

    Raises: ConfigError, with the file and the line, for a file that cannot be read or used."""
    models = {**_shipped(), **published}
    if extra is not None:
        shipped = {alias: table for file in _files() for alias, table in file.tables.items()}
        models |= _CatalogueFile.read(extra).models(base=shipped | to_json(published))
    return models


def origins(models: Mapping[str, KnownModel], published: Mapping[str, KnownModel]) -> dict[str, str]:
    """Where the entry of each alias is from: the program, a newer catalogue, or the owner's own file."""
    before = {**_shipped(), **published}
    return {
        alias: OWN if model != before.get(alias) else UPDATE if alias in published else BUILT_IN
        for alias, model in models.items()
    }


def parse_published(text: str) -> Published:
    """Raises: CatalogueError."""
    try:
        tables = toml.loads(text)
        version, day, expires = _head(tables)
        models = _CatalogueFile(Path("it"), text, tables).models(base={})
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"it is not TOML: {error}", hint=PUBLISHERS) from error
    except ConfigError as error:
        raise CatalogueError(str(error).removeprefix("it, "), hint=error.hint or PUBLISHERS) from error
    return Published(version, day, models, expires)


def _head(tables: dict[str, Any]) -> tuple[int, str, str | None]:
    """Takes it out of ``tables``."""
    version, day, expires = (tables.pop(key, None) for key in HEAD)
    if type(version) is not int or not 0 < version <= MAX_VERSION:
        raise ConfigError(f"version = {version!r}: expected a whole number from 1")
    if type(day) is not date or type(expires) not in (date, type(None)):
        raise ConfigError("date and expires are dates such as 2026-12-01, the first is needed")
    return version, day.isoformat(), None if expires is None else expires.isoformat()


@cache
def _shipped() -> Mapping[str, KnownModel]:
    return {alias: model for file in _files() for alias, model in file.models(base={}).items()}


@cache
def _files() -> tuple["_CatalogueFile", ...]:
    return tuple(_CatalogueFile.read(path) for path in sorted(FOLDER.glob("*.toml")))


class _CatalogueFile:
    """One file of entries. Errors name the line of the key that is wrong. ``is_of_this_machine``: its entries
    may name folders, too."""

    def __init__(
        self, path: Path, text: str, tables: Mapping[str, Any], *, is_of_this_machine: bool = False
    ) -> None:
        self._path, self._text, self.tables = path, text, tables
        self._is_of_this_machine = is_of_this_machine

    @classmethod
    def read(cls, path: Path) -> "_CatalogueFile":
        try:
            text = path.read_text()
            return cls(path, text, toml.loads(text), is_of_this_machine=True)
        except OSError as error:
            raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"the catalogue {path} is not TOML: {error}") from error

    def models(self, *, base: Tables) -> dict[str, KnownModel]:
        return {alias: self._model(alias, table, base.get(alias, {})) for alias, table in self.tables.items()}

    def _model(self, alias: str, table: Any, shipped: Mapping[str, Any]) -> KnownModel:
        if not isinstance(table, dict):
            raise self._error(alias, alias, f"expected a table, got {table!r}")
        if not _ALIAS.fullmatch(alias):
            raise self._error(alias, "", "an alias may have letters, digits and . _ - only")
        self._check_keys(alias, table, KnownModel, exclude={"alias"})
        for key, kind in _NESTED.items():
            rows = table.get(key, [])
            for row in rows if isinstance(rows, list) else [rows]:
                if isinstance(row, dict):
                    self._check_keys(alias, row, kind, exclude=frozenset())
        merged = {**shipped, **table}
        try:
            model = from_json(
                KnownModel, {**merged, "alias": alias, "shape": _with_tuples(merged.get("shape", {}))}
            )
        except ValueError as error:
            raise self._error(alias, _key_of(str(error)), str(error)) from error
        self._check_names(model)
        for row in model.vllm:
            if row.kind not in KINDS:
                raise self._error(
                    alias, row.repo, f"unknown kind {row.kind!r}", did_you_mean(row.kind, KINDS)
                )
        return model

    def _check_names(self, model: KnownModel) -> None:
        """That none of them leads elsewhere: they become addresses and paths."""
        for repo in (*model.gguf_repos, *model.vllm_repos, *(quant.repo for quant in model.quants)):
            is_folder = self._is_of_this_machine and Path(repo).is_absolute()
            if REPO_NAME.fullmatch(repo) is None and not is_folder:
                raise self._error(model.alias, repo, f"{repo!r} is not the name of a repository")
        files = [quant.file for quant in model.quants if quant.file is not None]
        for name in (*files, *([model.pypi.path] if model.pypi else ())):
            try:
                checked_path(name)
            except BadModelError as error:
                raise self._error(model.alias, name, str(error)) from error

    def _check_keys(
        self, alias: str, table: Mapping[str, Any], kind: type, *, exclude: frozenset[str] | set[str]
    ) -> None:
        valid = [field.name for field in fields(kind) if field.name not in exclude]
        for key in table:
            if key not in valid:
                raise self._error(alias, key, f"unknown key {key!r}", did_you_mean(key, valid))

    def _error(self, alias: str, key: str, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self._path}, line {self._line(alias, key)}, [{alias}]: {what}", hint=hint)

    def _line(self, alias: str, key: str) -> int:
        """Of ``key`` in the entry of ``alias``; else of the entry's beginning."""
        head = re.compile(rf"""^\s*\[?["']?{re.escape(alias)}["']?[\].\s=]""")
        word = re.compile(rf"(?<![\w.-]){re.escape(key)}(?![\w.-])")
        begin = 0
        for number, line in enumerate(self._text.splitlines(), 1):
            if not begin:
                begin = number if head.match(line) else 0
            elif line.lstrip().startswith("[") and not head.match(line):
                break
            if begin and key and word.search(line.partition("#")[0]):
                return number
        return begin or 1


def _with_tuples(table: Any) -> Any:
    """Lists as tuples, as in ``KnownModel.shape``."""
    if not isinstance(table, Mapping):
        return table
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _key_of(problem: str) -> str:
    """``KnownModel.quants[0]: ...`` -> ``quants``."""
    match = re.match(r"\w{1,64}\.(\w+)", problem)
    return match[1] if match else ""
