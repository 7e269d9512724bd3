"""Data that ships with the program: known GPUs, the model catalogue, profiles of boxes that aren't here."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from config.catalogue import catalogue
from config.suggestions import did_you_mean
from domain import validation
from domain.catalogue_types import KnownGpu
from domain.errors import UsageError
from domain.hardware import Hardware
from domain.serialization import from_json

__all__ = ["catalogue", "known_gpus", "profile", "profile_names"]

HERE = Path(__file__).parent
PROFILES = HERE / "profiles"
MOST_CHARS = 4 * 1024 * 1024  # of a profile; a machine with eight GPUs takes 60 KB


@cache
def known_gpus() -> tuple[KnownGpu, ...]:
    """The device table, one row per SKU."""
    table = json.loads((HERE / "gpus.json").read_text())
    return tuple(from_json(KnownGpu, row) for row in table["gpus"])


def profile_names() -> tuple[str, ...]:
    """The profiles that ship with the program."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.json")))


def profile(name_or_path: str) -> Hardware:
    """A box that isn't here: by name, or from a file that ``node-ctl probe --save`` wrote. A file without
    a ``name`` is called by its own.

    Raises: UsageError, with the nearest names."""
    is_path = name_or_path.endswith(".json") or "/" in name_or_path
    path = Path(name_or_path).expanduser() if is_path else PROFILES / f"{_in_full(name_or_path)}.json"
    try:
        box = from_json(Hardware, json.loads(_text(path)))
        validation.check_figures(box)
    except OSError as error:
        if is_path:
            raise UsageError(f"the profile {path} cannot be read: {error.strerror}") from error
        raise UsageError(
            f"no profile is called {name_or_path!r}", hint=did_you_mean(name_or_path, profile_names())
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the profile {path} cannot be used: {error}", hint="node-ctl probe --save writes one"
        ) from error
    if box.memory.total_bytes is None and not box.gpus:
        raise UsageError(
            f"the profile {path} says nothing of memory or GPUs", hint="node-ctl probe --save writes one"
        )
    return box if box.name else replace(box, name=path.stem)


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(MOST_CHARS + 1)
    if len(text) > MOST_CHARS:
        raise ValueError(f"it has more than {MOST_CHARS} characters")
    return text


def _in_full(name: str) -> str:
    """``strix-halo`` for ``strix-halo-128gb``, as long as one profile alone begins like that."""
    found = [one for one in profile_names() if one == name or one.startswith(f"{name}-")]
    return found[0] if len(found) == 1 else name
