"""``logs -n``: the last lines whatever their length, in chunks that fit in memory."""

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.events.broadcast import Broadcast
from daemon.launches import log_tail


async def tail(path: Path, lines: int) -> list[bytes]:
    return [part async for part in log_tail.read(path, lines, follow=False, ended=Broadcast())]


async def test_of_a_long_line_a_reader_gets_the_first_16_kib(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    line = b"BEGIN " + b"x" * (3 * log_tail.CHUNK_BYTES)
    path.write_bytes(b"first\n" + line + b"\nlast\n")
    parts = await tail(path, 2)
    assert b"".join(parts) == line[: 16 * 1024] + b" [...]\nlast\n"
    assert max(map(len, parts)) <= log_tail.CHUNK_BYTES
    assert await asyncio.to_thread(log_tail.text_of, path, 2, 200_000) == b"".join(parts)


async def test_a_line_that_never_ends_is_cut_while_it_is_followed(tmp_path: Path) -> None:
    path, ended = tmp_path / "engine.log", Broadcast()
    path.write_bytes(b"A" * 20_000)
    following = log_tail.read(path, 1, follow=True, ended=ended)
    assert await anext(following) == b"A" * 16_384 + b" [...]"
    with path.open("ab") as engine:
        engine.write(b"A" * 1_000_000 + b"\nnext\n")
    assert await anext(following) == b"\nnext\n"
    ended.close()


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"x", b"\n"))),
    st.integers(1, 9),
)
def test_lines_are_cut_alike_whatever_the_chunks(chunks: list[bytes], most: int) -> None:
    usual, log_tail.MAX_LINE_BYTES = log_tail.MAX_LINE_BYTES, most
    try:
        cutter = log_tail.LineCutter()
        cut = b"".join(cutter.cut(chunk) for chunk in chunks)
    finally:
        log_tail.MAX_LINE_BYTES = usual
    lines = b"".join(chunks).split(b"\n")
    assert cut == b"\n".join(line if len(line) <= most else line[:most] + b" [...]" for line in lines)


async def test_many_long_lines_are_all_shown(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    text = b"".join(b"%06d %s\n" % (number, b"y" * 1500) for number in range(500))
    path.write_bytes(b"older\n" + text)
    assert b"".join(await tail(path, 500)) == text
    assert b"".join(await tail(path, 100_000)) == b"older\n" + text
    assert await tail(path, 0) == []


LINES = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b".")), max_size=12)


@settings(deadline=None)
@given(written=LINES, wanted=st.integers(0, 14), ends=st.booleans(), chunk=st.integers(1, 9))
def test_the_last_lines_are_those_of_splitlines(
    tmp_path_factory, written: list[bytes], wanted: int, ends: bool, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "engine.log"
    text = b"\n".join(written) + (b"\n" if ends and written else b"")
    path.write_bytes(text)
    usual, log_tail.CHUNK_BYTES = log_tail.CHUNK_BYTES, chunk
    try:
        begin, end = log_tail.last_lines(path, wanted)
    finally:
        log_tail.CHUNK_BYTES = usual
    lines = text.split(b"\n")
    kept = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    assert text[begin:end] == b"".join(kept[-wanted:] if wanted else [])
