"""Text from standard input, bounded: what is piped into a question."""

import os
import select
import stat
import sys

from ctl.terminal import note
from domain.errors import UsageError
from domain.units import MIB

MAX_BYTES = 4 * MIB  # about a million tokens: more than a model takes
SILENCE_S = 2.0


def is_piped() -> bool:
    """Whether standard input is a pipe or a file. Not a terminal, /dev/null, or the socket of an ssh without
    a terminal, which nobody would end."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed, or none
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def read_text() -> str:
    """All of it. Raises: UsageError for more than MAX_BYTES, or what is not text in UTF-8."""
    if sys.stdin.isatty():
        note("reading standard input: Ctrl-D ends it")
    elif not select.select([sys.stdin], [], [], SILENCE_S)[0]:
        note("waiting for standard input")
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"standard input is longer than {MAX_BYTES // MIB} MiB",
            hint="ask about a part of it: head -c 1M FILE | node-ctl ask ...",
        )
    try:
        return content.decode().strip("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not text in UTF-8: byte {content[error.start]:#04x} at {error.start}",
            hint="convert it first, for example with iconv",
        ) from error
