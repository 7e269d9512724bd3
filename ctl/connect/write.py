"""Merges settings into the files of a client: a copy is kept of what was there, and no file is ever half."""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ctl.connect.formats import Merged, merge
from ctl.connect.setup import SettingsFile
from domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class Written:
    """``backup`` is where the file is that was there before; ``changed``: false where it had the settings."""

    path: Path
    backup: Path | None
    replaced: tuple[str, ...]
    changed: bool


def write_all(
    files: tuple[SettingsFile, ...], now: datetime | None = None, *, has_key: bool = False
) -> list[Written]:
    """All are merged before the first is written. ``has_key``: only their owner may read them from now on.
    Raises: UsageError."""
    merged = [(file, _merge(file)) for file in files]
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
    rights = 0o700 if has_key else 0o7777
    return [_write(file, before, result, stamp, rights) for file, (before, result) in merged]


def _merge(file: SettingsFile) -> tuple[str | None, Merged]:
    """The text that is there, if any, and what it becomes."""
    try:
        before = file.path.read_text(encoding="utf-8") if file.path.exists() else None
        return before, merge(file.format, before or "", file.settings)
    except UsageError as error:
        raise UsageError(f"{file.path} is not changed: {error}", hint=error.hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.path} can't be read: {error}", hint="mend it, or move it away") from error


def _write(file: SettingsFile, before: str | None, result: Merged, stamp: str, rights: int) -> Written:
    if before == result.text:
        return Written(file.path, None, (), changed=False)
    path = file.path.resolve()  # a link, as of those who keep their settings in a repository, stays one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = None
        if before is not None:
            backup = _beside(path, stamp)
            _replace(backup, before, path, rights)
        _replace(path, result.text, path, rights)
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}", hint="without --write the settings are printed"
        ) from error
    return Written(file.path, backup, result.replaced, changed=True)


def _beside(path: Path, stamp: str) -> Path:
    """A name that nothing has: two runs in one second keep two copies."""
    names = [path.with_name(f"{path.name}.{stamp}{suffix}.bak") for suffix in ("", "-2", "-3", "-4")]
    return next((name for name in names if not name.exists()), names[-1])


def _replace(path: Path, text: str, like: Path, rights: int) -> None:
    """Written beside it and renamed, with those of the ``rights`` that ``like`` has; a new file is its
    owner's alone: some hold keys. Raises: OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if like.exists():
            Path(temporary).chmod(like.stat().st_mode & rights)
        Path(temporary).replace(path)
    except BaseException:  # whatever it is, no half file stays
        with suppress(OSError):
            Path(temporary).unlink()
        raise
