"""Single keys from a terminal, without Enter."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unbuffered() -> Iterator[None]:
    """Keys arrive as they are pressed and are not shown, where standard input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def pressed(timeout_s: float) -> bytes:
    """What is pressed within that time; empty if nothing is, or if standard input has ended."""
    stdin = sys.stdin.fileno()
    if not select.select([stdin], [], [], timeout_s)[0]:
        return b""
    return os.read(stdin, 64)
