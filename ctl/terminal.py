"""What goes to the screen: JSON for scripts, notes on standard error, and one console for people."""

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Tables in a pipe are as wide as they need to be: a script reads lines, not a window.
PIPE_WIDTH = 4000

# All of C0 but tab and newline, DEL and C1: a model or an engine must not steer the owner's terminal.
_CONTROL = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def is_terminal() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def print_json(value: object) -> None:
    """``value`` on standard output, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """``value`` as one line of newline-delimited JSON, at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def note(message: str) -> None:
    """A line for people on standard error, where it is in no script's way."""
    print(message, file=sys.stderr, flush=True)


def harmless(text: str, *, to: TextIO | None = None) -> str:
    """``text`` of an engine or a model, without control characters where ``to`` (standard output) is a
    terminal."""
    return text.translate(_CONTROL) if (to or sys.stdout).isatty() else text


def console() -> "Console":
    """A rich console that takes text as it is (no markup in other people's names) and wraps in no pipe."""
    from rich.console import Console  # noqa: PLC0415 - costs what --json and --help should not pay

    width = None if is_terminal() else PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)
