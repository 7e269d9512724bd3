"""``logs -n``: the last lines whatever their length, in chunks that fit in memory."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from daemon.events.broadcast import Broadcast
from daemon.launches import log_tail


async def tail(path: Path, lines: int) -> list[bytes]:
    return [part async for part in log_tail.read(path, lines, follow=False, ended=Broadcast())]


async def test_a_line_longer_than_a_chunk_is_shown_whole_and_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    line = b"BEGIN " + b"x" * (3 * log_tail.CHUNK_BYTES) + b" END\n"
    path.write_bytes(b"first\n" + line)
    parts = await tail(path, 1)
    assert b"".join(parts) == line
    assert max(map(len, parts)) <= log_tail.CHUNK_BYTES


async def test_many_long_lines_are_all_shown(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    text = b"".join(b"%06d %s\n" % (number, b"y" * 1500) for number in range(500))
    path.write_bytes(b"older\n" + text)
    assert b"".join(await tail(path, 500)) == text
    assert b"".join(await tail(path, 100_000)) == b"older\n" + text
    assert await tail(path, 0) == []


LINES = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b".")), max_size=12)


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
