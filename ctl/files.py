"""Files that a command writes where the owner says: never over something else, and whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from domain.errors import UsageError


def writable(path: Path, is_ours: Callable[[str], bool], what: str) -> None:
    """``is_ours`` tells from the content whether an earlier run wrote it. Raises: UsageError for a file that
    is there and is no ``what``, or that can't be written."""
    try:
        if path.exists() and not is_ours(path.read_text(errors="replace")):
            raise UsageError(f"{path} is there and is no {what}", hint="name another file")
    except OSError as error:
        raise _refused(path, error) from error
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(
            f"{path} can't be written: there is no folder {folder}", hint="make the folder first"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{path} can't be written", hint="name a file in a folder of yours")


def write(path: Path, text: str) -> None:
    """Raises: UsageError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} can't be written: {error.strerror}", hint="name a file in a folder of yours")
