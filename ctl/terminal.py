"""Output: JSON for scripts, notes on standard error, a console for people."""

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

from ctl.encoding import is_unicode
from domain.text import printable

if TYPE_CHECKING:
    from rich.console import Console

# Tables in a pipe are as wide as needed.
PIPE_WIDTH = 4000


def columns() -> int | None:
    """The width of the terminal; ``None`` in a pipe, where nothing is wrapped or left out."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def is_terminal() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def print_json(value: object) -> None:
    """Prints ``value``, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=not is_unicode(sys.stdout)))


def print_json_line(value: object) -> None:
    """Prints ``value`` as one line of newline-delimited JSON and flushes it."""
    print(json.dumps(value, ensure_ascii=not is_unicode(sys.stdout)), flush=True)


def note(message: str) -> None:
    """Prints a line for people on standard error, or several that belong together: no other thread's comes
    between them."""
    sys.stderr.write(f"{message}\n")  # print() writes the end of the line apart
    sys.stderr.flush()


def print_styled(text: str, style: str) -> None:
    """Prints a line that may hold words of others, on a terminal in rich's ``style``."""
    if is_terminal() and style:
        console().print(sanitize(text), style=style, soft_wrap=True)
    else:
        print(sanitize(text))


def sanitize(text: str, *, to: TextIO | None = None) -> str:
    """``text`` of an engine or a model with its control characters escaped where ``to`` (default: standard
    output) is a terminal, and everywhere what has no UTF-8."""
    return printable(text) if (to or sys.stdout).isatty() else text


def console() -> "Console":
    """A rich console that prints text as it is, without markup, and does not wrap in a pipe."""
    from rich.console import Console  # noqa: PLC0415 - --json and --help do without

    width = None if is_terminal() else PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)
