"""Data that ships with the program: known GPUs, models, keys of catalogues, profiles of other machines."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from catalog.feed.signed_file import parse_key
from config import toml
from config.catalogue import catalogue
from domain.errors import UsageError
from domain.machine import validation
from domain.machine.hardware import Hardware
from domain.models.catalogue_types import KnownGpu
from domain.serialization import from_json
from domain.suggestions import did_you_mean

__all__ = ["catalogue", "catalogue_keys", "known_gpus", "profile", "profile_names", "publishers"]

HERE = Path(__file__).parent
PROFILES = HERE / "profiles"
MAX_CHARS = 4 * 1024 * 1024  # of a profile; a machine with eight GPUs takes 60 KB


@cache
def known_gpus() -> tuple[KnownGpu, ...]:
    """The device table, one row per SKU."""
    table = json.loads((HERE / "gpus.json").read_text())
    return tuple(from_json(KnownGpu, row) for row in table["gpus"])


def catalogue_keys() -> tuple[bytes, ...]:
    """The public keys of those who publish newer catalogues."""
    lines = (HERE / "catalogue-keys.txt").read_text().splitlines()
    return tuple(parse_key(line) for line in lines if line and not line.startswith("#"))


@cache
def publishers() -> Mapping[str, str]:
    """Those whose repositories come first, each with the reason."""
    return {name: row["why"] for name, row in toml.loads((HERE / "publishers.toml").read_text()).items()}


def profile_names() -> tuple[str, ...]:
    """The profiles that ship with the program."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.json")))


def profile(name_or_path: str) -> Hardware:
    """A machine by the name of a shipped profile, or from a file that ``node-ctl probe --save`` wrote. A
    profile without a ``name`` gets that of its file.

    Raises: UsageError, with the nearest names."""
    is_path = name_or_path.endswith(".json") or "/" in name_or_path
    path = Path(name_or_path).expanduser() if is_path else PROFILES / f"{_full_name(name_or_path)}.json"
    try:
        machine = from_json(Hardware, json.loads(_read_text(path)))
        validation.check_figures(machine)
    except OSError as error:
        if is_path:
            raise UsageError(f"the profile {path} cannot be read: {error.strerror}") from error
        raise UsageError(
            f"there is no profile {name_or_path!r}", hint=did_you_mean(name_or_path, profile_names())
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the profile {path} cannot be used: {error}", hint="node-ctl probe --save writes one"
        ) from error
    if machine.memory.total_bytes is None and not machine.gpus:
        raise UsageError(
            f"the profile {path} has neither memory nor GPUs", hint="node-ctl probe --save writes one"
        )
    return machine if machine.name else replace(machine, name=path.stem)


def _read_text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(MAX_CHARS + 1)
    if len(text) > MAX_CHARS:
        raise ValueError(f"it has more than {MAX_CHARS} characters")
    return text


def _full_name(name: str) -> str:
    """``strix-halo`` is ``strix-halo-128gb``, while that is the only profile that begins with it."""
    matches = [choice for choice in profile_names() if choice == name or choice.startswith(f"{name}-")]
    return matches[0] if len(matches) == 1 else name
