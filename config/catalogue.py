"""Models by alias: a file for each family in ``catalog/``, then the owner's own file on top."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from config.suggestions import did_you_mean
from domain.catalogue_types import KnownModel, KnownQuant, PypiFile, VllmRepo
from domain.errors import ConfigError
from domain.model import Chat
from domain.serialization import from_json

FOLDER = Path(__file__).parent / "catalog"
KINDS = ("native", "fp8", "awq", "gptq", "nvfp4", "mxfp4")
_NESTED = {"vllm": VllmRepo, "quants": KnownQuant, "pypi": PypiFile, "chat": Chat}
_ALIAS = re.compile(r"[A-Za-z0-9][\w.-]*")
Tables = Mapping[str, Mapping[str, Any]]


def catalogue(extra: Path | None = None) -> dict[str, KnownModel]:
    """``extra`` is an owner's own file: its entries add; of an alias that ships, the keys that it gives
    replace those of the shipped entry.

    Raises: ConfigError, with the file and the line, for one that cannot be read or used."""
    models = dict(_shipped())
    if extra is not None:
        shipped = {alias: table for file in _files() for alias, table in file.tables.items()}
        models |= _File(extra).models(base=shipped)
    return models


@cache
def _shipped() -> Mapping[str, KnownModel]:
    return {alias: model for file in _files() for alias, model in file.models(base={}).items()}


@cache
def _files() -> tuple["_File", ...]:
    return tuple(_File(path) for path in sorted(FOLDER.glob("*.toml")))


class _File:
    """One file of entries. Errors name the line of the key they are about."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text()
            self.tables: Mapping[str, Any] = tomllib.loads(self._text)
        except OSError as error:
            raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"the catalogue {path} is no TOML: {error}") from error

    def models(self, *, base: Tables) -> dict[str, KnownModel]:
        return {alias: self._model(alias, table, base.get(alias, {})) for alias, table in self.tables.items()}

    def _model(self, alias: str, table: Any, shipped: Mapping[str, Any]) -> KnownModel:
        if not isinstance(table, dict):
            raise self._error(alias, alias, f"a table of facts is expected, found {table!r}")
        if not _ALIAS.fullmatch(alias):
            raise self._error(alias, "", "an alias has letters, digits and . _ - only")
        self._check_keys(alias, table, KnownModel, given={"alias"})
        for key, kind in _NESTED.items():
            rows = table.get(key, [])
            for row in rows if isinstance(rows, list) else [rows]:
                if isinstance(row, dict):
                    self._check_keys(alias, row, kind, given=frozenset())
        whole = {**shipped, **table}
        try:
            model = from_json(KnownModel, {**whole, "alias": alias, "shape": _shape(whole.get("shape", {}))})
        except ValueError as error:
            raise self._error(alias, _key_of(str(error)), str(error)) from error
        for row in model.vllm:
            if row.kind not in KINDS:
                raise self._error(
                    alias, row.repo, f"unknown kind {row.kind!r}", did_you_mean(row.kind, KINDS)
                )
        return model

    def _check_keys(
        self, alias: str, table: Mapping[str, Any], kind: type, *, given: frozenset[str] | set[str]
    ) -> None:
        known = [item.name for item in fields(kind) if item.name not in given]
        for key in table:
            if key not in known:
                raise self._error(alias, key, f"unknown key {key!r}", did_you_mean(key, known))

    def _error(self, alias: str, key: str, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self._path}, line {self._line(alias, key)}, [{alias}]: {what}", hint=hint)

    def _line(self, alias: str, key: str) -> int:
        """Where ``key`` stands in the entry of ``alias``; else where the entry begins."""
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


def _shape(table: Any) -> Any:
    """Lists become tuples, as header facts have them."""
    if not isinstance(table, Mapping):
        return table
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _key_of(problem: str) -> str:
    """``KnownModel.quants[0]: ...`` -> ``quants``."""
    found = re.match(r"\w+\.(\w+)", problem)
    return found[1] if found else ""
