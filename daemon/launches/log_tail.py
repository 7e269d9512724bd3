"""The last lines of a log, then new ones, across rotations. In chunks, because a line may have any length; a
reader gets the first MAX_LINE_BYTES of each."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from daemon.events.broadcast import Broadcast

POLL_S = 0.25
CHUNK_BYTES = 64 * 1024
MAX_LINE_BYTES = 16 * 1024
CUT = b" [...]"


class LineCutter:
    """Cuts long lines of a text that comes in chunks."""

    def __init__(self) -> None:
        self._line_bytes = 0  # of the line at the end of the last chunk

    def cut(self, chunk: bytes) -> bytes:
        first, *others = chunk.split(b"\n")
        kept = [self._cut(first)]
        for line in others:
            self._line_bytes = 0
            kept += (b"\n", self._cut(line))
        return b"".join(kept)

    def _cut(self, part: bytes) -> bytes:
        before, self._line_bytes = self._line_bytes, self._line_bytes + len(part)
        if self._line_bytes <= MAX_LINE_BYTES:
            return part
        return part[: MAX_LINE_BYTES - before] + CUT if before <= MAX_LINE_BYTES else b""


async def read(path: Path, lines: int, *, follow: bool, ended: Broadcast) -> AsyncIterator[bytes]:
    """Chunks of the log. One that does not exist yet is empty. Following ends with the daemon."""
    cutter = LineCutter()
    position, end = await asyncio.to_thread(last_lines, path, lines)
    while position < end:
        text = await asyncio.to_thread(_read, path, position, end - position)
        if not text:
            break
        position += len(text)
        if kept := cutter.cut(text):
            yield kept
    ending = asyncio.ensure_future(ended.wait())
    try:
        while follow and not ended.closed:
            text, end = await asyncio.to_thread(_since, path, end)
            if kept := cutter.cut(text):
                yield kept
            elif not text:
                await asyncio.wait({ending}, timeout=POLL_S)
    finally:
        ending.cancel()


def last_lines(path: Path, lines: int) -> tuple[int, int]:
    """Where the last ``lines`` lines begin and end, as offsets in the file. Blocks."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            return _begin_of_last(file, end, lines), end
    except FileNotFoundError:
        return 0, 0


def text_of(path: Path, lines: int, most_bytes: int) -> bytes:
    """The last ``lines`` lines, at most the last ``most_bytes`` of them. Blocks."""
    begin, end = last_lines(path, lines)
    begin = max(begin, end - most_bytes)
    text = b""
    while len(text) < end - begin and (chunk := _read(path, begin + len(text), end - begin - len(text))):
        text += chunk
    return LineCutter().cut(text)


def _begin_of_last(file: BinaryIO, end: int, lines: int) -> int:
    """Searches backwards for the newline before them; the one that ends the last line does not count."""
    if lines == 0:
        return end
    missing, position = lines, max(0, end - 1)
    while position > 0:
        begin = max(0, position - CHUNK_BYTES)
        file.seek(begin)
        chunk = file.read(position - begin)
        newline = len(chunk)
        while (newline := chunk.rfind(b"\n", 0, newline)) >= 0:
            missing -= 1
            if missing == 0:
                return begin + newline + 1
        position = begin
    return 0


def _read(path: Path, position: int, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(min(most_bytes, CHUNK_BYTES))
    except FileNotFoundError:
        return b""


def _since(path: Path, position: int) -> tuple[bytes, int]:
    """What was written since ``position``; from the start if the file is shorter by now, after a rotation."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(position if position <= size else 0)
            text = file.read(CHUNK_BYTES)
            return text, file.tell()
    except FileNotFoundError:
        return b"", 0
