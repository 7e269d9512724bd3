"""The model catalogue by alias: a file per family in ``catalog/``, then the owner's own file."""

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from config import toml
from domain.catalogue_types import KnownModel, KnownQuant, PypiFile, Sampling, VllmRepo
from domain.errors import ConfigError
from domain.model import Chat
from domain.serialization import from_json
from domain.suggestions import did_you_mean

FOLDER = Path(__file__).parent / "catalog"
KINDS = ("native", "fp8", "awq", "gptq", "nvfp4", "mxfp4")
_NESTED = {"vllm": VllmRepo, "quants": KnownQuant, "pypi": PypiFile, "chat": Chat, "sampling": Sampling}
_ALIAS = re.compile(r"[A-Za-z0-9][\w.-]*")
Tables = Mapping[str, Mapping[str, Any]]


def catalogue(extra: Path | None = None) -> dict[str, KnownModel]:
    """``extra`` is an owner's own file: its entries are added, or replace the keys that they give in a
    shipped entry of the same alias.

    Raises: ConfigError, with the file and the line, for a file that cannot be read or used."""
    models = dict(_shipped())
    if extra is not None:
        shipped = {alias: table for file in _files() for alias, table in file.tables.items()}
        models |= _CatalogueFile(extra).models(base=shipped)
    return models


@cache
def _shipped() -> Mapping[str, KnownModel]:
    return {alias: model for file in _files() for alias, model in file.models(base={}).items()}


@cache
def _files() -> tuple["_CatalogueFile", ...]:
    return tuple(_CatalogueFile(path) for path in sorted(FOLDER.glob("*.toml")))


class _CatalogueFile:
    """One file of entries. Errors name the line of the key that is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text()
            self.tables: Mapping[str, Any] = toml.loads(self._text)
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
        for row in model.vllm:
            if row.kind not in KINDS:
                raise self._error(
                    alias, row.repo, f"unknown kind {row.kind!r}", did_you_mean(row.kind, KINDS)
                )
        return model

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
