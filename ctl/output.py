"""Standard output and error that may be closed or full: one line says so, and none is a traceback."""

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from domain.errors import NodeError


class OutputError(NodeError):
    """Standard output can't be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the output can't be written: {error.strerror or error}")


class _Stdout(io.TextIOWrapper):
    """Raises OutputError, or BrokenPipeError where its reader has gone."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from error


class _Stderr(io.TextIOWrapper):
    """What can't be written is lost: there is no place left to say so."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


class _Closed(io.RawIOBase):
    """In the place of a descriptor that the caller closed."""

    def writable(self) -> bool:
        return True

    def write(self, _data: Any, /) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def guard() -> None:
    """For the life of the process."""
    sys.stdout = _guarded(sys.stdout, _Stdout)
    sys.stderr = _guarded(sys.stderr, _Stderr)


def give_up() -> None:
    """What is left in the buffers goes nowhere: the interpreter would complain at its end."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process


def _guarded(stream: TextIO | None, kind: type[io.TextIOWrapper]) -> TextIO:
    if stream is None:
        return kind(io.BufferedWriter(_Closed()), encoding="utf-8", line_buffering=True)
    return kind(
        stream.detach(),  # type: ignore[attr-defined]  # of a TextIOWrapper, which it is at the start
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=getattr(stream, "line_buffering", False),
    )
