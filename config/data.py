"""Data that ships with the program: known GPUs, the model catalogue, profiles of boxes that aren't here."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from domain import possible
from domain.errors import ConfigError, UsageError
from domain.hardware import Hardware
from domain.jsonable import from_json
from domain.known import KnownGpu, KnownModel

HERE = Path(__file__).parent
PROFILES = HERE / "profiles"
NEAREST = 3


@cache
def known_gpus() -> tuple[KnownGpu, ...]:
    """The device table, one row per SKU."""
    table = json.loads((HERE / "gpus.json").read_text())
    return tuple(from_json(KnownGpu, row) for row in table["gpus"])


def catalogue(extra: Path | None = None) -> dict[str, KnownModel]:
    """Models by alias. ``extra`` is an owner's own file: its entries add, or replace by alias.

    Raises: ConfigError for a file that cannot be read or an entry that cannot be used."""
    models = dict(_shipped())
    if extra is not None:
        models |= _load(extra)
    return models


def profile_names() -> tuple[str, ...]:
    """The profiles that ship with the program."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.json")))


def profile(name_or_path: str) -> Hardware:
    """A box that isn't here: by name, or from a file that ``node-ctl probe --json`` wrote. A file without
    a ``name`` is called by its own.

    Raises: UsageError, with the nearest names."""
    is_path = name_or_path.endswith(".json") or "/" in name_or_path
    path = Path(name_or_path).expanduser() if is_path else PROFILES / f"{_in_full(name_or_path)}.json"
    try:
        box = from_json(Hardware, json.loads(path.read_text()))
        possible.check(box)
    except OSError as error:
        if is_path:
            raise UsageError(f"the profile {path} cannot be read: {error.strerror}") from error
        raise UsageError(
            f"no profile is called {name_or_path!r}", hint=_did_you_mean(name_or_path, profile_names())
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the profile {path} cannot be used: {error}", hint="node-ctl probe --json writes one"
        ) from error
    if box.memory.total_bytes is None and not box.gpus:
        raise UsageError(
            f"the profile {path} says nothing of memory or GPUs", hint="node-ctl probe --json writes one"
        )
    return box if box.name else replace(box, name=path.stem)


def _in_full(name: str) -> str:
    """``strix-halo`` for ``strix-halo-128gb``, as long as one profile alone begins like that."""
    found = [one for one in profile_names() if one == name or one.startswith(f"{name}-")]
    return found[0] if len(found) == 1 else name


@cache
def _shipped() -> Mapping[str, KnownModel]:
    return _load(HERE / "catalog.toml")


def _load(path: Path) -> dict[str, KnownModel]:
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"the catalogue {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the catalogue {path} is no TOML: {error}") from error
    return {alias: _model(path, alias, table) for alias, table in tables.items()}


def _model(path: Path, alias: str, table: Any) -> KnownModel:
    where = f"{path}, [{alias}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: a table of facts is expected, found {table!r}")
    known = [item.name for item in fields(KnownModel)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=_did_you_mean(key, known))
    try:
        return from_json(KnownModel, {**table, "alias": alias, "shape": _shape(table.get("shape", {}))})
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _shape(table: Mapping[str, Any]) -> dict[str, Any]:
    """Lists become tuples, as header facts have them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=NEAREST, cutoff=0.0)
    return f"did you mean {', '.join(near)}?" if near else ""
