"""The settings file as it was when the daemon last ran with it, so that a mistake in it takes nothing down.

It is kept in the state folder that the environment or the default names: the settings file may name another,
but it may be what can't be read. Imports little: node-ctl uses it, too.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import paths

NAME = "settings-last-good.json"


@dataclass(frozen=True, slots=True)
class LastGood:
    """``values`` are those of the settings ``file``, ``None`` where there was none; ``stored_at`` is ISO
    8601."""

    file: str | None
    stored_at: str
    values: Mapping[str, Any]


def place(state_dir: Path | None = None) -> Path:
    """``state_dir`` is that of the command line."""
    named = os.environ.get("NODE_DAEMON_STATE_DIR")
    return (state_dir or (Path(named).expanduser() if named else paths.state_dir())) / NAME


def recall(path: Path) -> LastGood | None:
    """``None`` where no daemon ran yet, or what it left can't be read."""
    try:
        stored = json.loads(path.read_text())
        return LastGood(stored["file"], str(stored["stored_at"]), dict(stored["values"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store(path: Path, good: LastGood) -> None:
    """For its owner alone: it may hold a token. Raises: OSError."""
    last = recall(path)
    if last is not None and (last.file, last.values) == (good.file, good.values):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor
        json.dump({"file": good.file, "stored_at": good.stored_at, "values": dict(good.values)}, file)
    temporary.replace(path)
