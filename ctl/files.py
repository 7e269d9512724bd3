"""Writes files for an owner: atomically, and never over a file that is something else."""

import os
from collections.abc import Callable
from pathlib import Path

from domain.errors import UsageError


def check_writable(path: Path, is_ours: Callable[[str], bool], what: str) -> None:
    """``is_ours`` tells from the content whether an earlier run wrote the file. Raises: UsageError for a file
    that exists and is not a ``what``, or that can't be written."""
    try:
        if path.exists() and not is_ours(path.read_text(errors="replace")):
            raise UsageError(f"{path} exists and is not a {what}", hint="use another file")
    except OSError as error:
        raise _refused(path, error) from error
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(
            f"{path} can't be written: the directory {folder} does not exist", hint="create it first"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{path} can't be written: no permission for {folder}",
            hint="use another directory",
        )


def write(path: Path, text: str) -> None:
    """Raises: UsageError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} can't be written: {error.strerror}", hint="use another directory")
