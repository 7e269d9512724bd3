"""The last lines of a log, then those that come, past a rotation."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from daemon.events.broadcast import Broadcast

POLL_S = 0.25
CHUNK_BYTES = 64 * 1024
LONGEST_LINE_BYTES = 1024  # of what is read back to find the last lines


async def read(path: Path, lines: int, *, follow: bool, ended: Broadcast) -> AsyncIterator[bytes]:
    """A log that does not exist yet is empty. Following ends with the daemon."""
    text, position = await asyncio.to_thread(last_lines, path, lines)
    if text:
        yield text
    ending = asyncio.ensure_future(ended.wait())
    try:
        while follow and not ended.closed:
            text, position = await asyncio.to_thread(_from, path, position)
            if text:
                yield text
            else:
                await asyncio.wait({ending}, timeout=POLL_S)
    finally:
        ending.cancel()


def last_lines(path: Path, lines: int) -> tuple[bytes, int]:
    """The last ``lines`` lines and where they end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max(1, lines) * LONGEST_LINE_BYTES))
            wanted = file.read(size - file.tell()).splitlines(keepends=True)
    except FileNotFoundError:
        return b"", 0
    return b"".join(wanted[-lines:] if lines else ()), size


def _from(path: Path, position: int) -> tuple[bytes, int]:
    """What was written since ``position``; from the start where the file was cut meanwhile."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(position if position <= size else 0)
            text = file.read(CHUNK_BYTES)
            return text, file.tell()
    except FileNotFoundError:
        return b"", 0
