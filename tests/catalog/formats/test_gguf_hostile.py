"""Files that nobody wrote in good faith: one clear line, no spike of memory, no hang."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.formats.byte_source import FileSource
from catalog.formats.gguf.reader import read_file, read_header
from domain.errors import BadModelError
from domain.units import MIB
from tests.catalog.build import Raw, gguf_file

HUGE = (1 << 64) - 1
U64 = struct.Struct("<Q").pack
ARCHITECTURE = (b"general.architecture", 8, U64(5) + b"llama")


def one_tensor(shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    return Raw(tensors=1, keys=1).key(*ARCHITECTURE).tensor(b"x", shape, kind, offset).body(128).data


HOSTILE = [
    pytest.param(b"", "0 bytes", id="empty"),
    pytest.param(b"GGUF", "4 bytes", id="only the magic"),
    pytest.param(b"PK\x03\x04" + bytes(60), r"starts with 'PK\\x03\\x04', not", id="a zip archive"),
    pytest.param(Raw(version=1).body(64).data, "version is 1", id="version 1"),
    pytest.param(Raw(version=99).body(64).data, "version is 99", id="version 99"),
    pytest.param(b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64), "big-endian", id="big-endian"),
    pytest.param(Raw(tensors=HUGE).body(64).data, "claims 18446744073709551615 tensors", id="absurd tensors"),
    pytest.param(Raw(keys=HUGE).body(64).data, "claims 18446744073709551615 keys", id="absurd keys"),
    pytest.param(Raw(keys=1).text(b"k", length=HUGE).body(64).data, "a key", id="key longer than the file"),
    pytest.param(Raw(keys=1).key(b"k", 8, U64(HUGE)).body(64).data, "bytes of k", id="text beyond the file"),
    pytest.param(Raw(keys=1).key(b"k", 77, bytes(8)).body(64).data, "value type 77", id="unknown value type"),
    pytest.param(Raw(keys=1).key(b"k", 7, b"\x05").body(64).data, "boolean of 5", id="odd truth value"),
    pytest.param(Raw(keys=1).array(b"k", 9, 1).body(64).data, "array of arrays", id="nested arrays"),
    pytest.param(Raw(keys=1).array(b"k", 4, HUGE).body(64).data, "values in k", id="array beyond the file"),
    pytest.param(Raw(keys=1).array(b"k", 99, 1).body(64).data, "value type 99", id="array of unknown type"),
    pytest.param(
        Raw(keys=1).array(b"k", 8, 5000, (U64(1) + b"a") * 4999 + U64(HUGE)).body(64).data,
        "beyond the end",
        id="last of many texts beyond the file",
    ),
    pytest.param(
        Raw(keys=1).array(b"k", 8, 5000, U64(HUGE)).body(50_000).data,
        "beyond the end",
        id="first, of 64 bits",
    ),
    pytest.param(
        Raw(keys=1).array(b"k", 8, 5000, U64(1 << 62)).body(50_000).data, "beyond the end", id="first of many"
    ),
    pytest.param(
        Raw(keys=2).key(b"k", 4, bytes(4)).key(b"k", 4, bytes(4)).body(64).data,
        "appears twice",
        id="key twice",
    ),
    pytest.param(
        Raw(keys=1).key(b"\xff\xfe", 4, bytes(4)).body(64).data, "not UTF-8", id="a key that is not UTF-8"
    ),
    pytest.param(Raw(keys=1).key(*ARCHITECTURE).body(64).data, "no tensors", id="no tensors"),
    pytest.param(
        Raw(tensors=1).tensor(b"x", (32,), 0, 0).body(128).data, "architecture", id="no architecture"
    ),
    pytest.param(one_tensor(kind=4), r"type 4 \(Q4_2\), which llama.cpp no longer", id="a removed type"),
    pytest.param(one_tensor(kind=142), "does not know type 142", id="tensor type of a fork"),
    pytest.param(one_tensor(kind=12), "no multiple of Q4_K", id="row that blocks do not divide"),
    pytest.param(one_tensor(shape=(1 << 40, 1 << 40)), "dimensions", id="dimensions overflow"),
    pytest.param(one_tensor(shape=(0, 4)), "dimensions", id="dimension of zero"),
    pytest.param(one_tensor(shape=(1,) * 9), "9 dimensions", id="nine dimensions"),
    pytest.param(one_tensor(offset=7), "not a multiple of 32", id="crooked offset"),
    pytest.param(one_tensor(offset=1 << 60), "truncated", id="offset beyond the file"),
    pytest.param(one_tensor(shape=(1 << 20,)), "truncated", id="tensor longer than the file"),
    pytest.param(
        Raw(tensors=2, keys=1)
        .key(*ARCHITECTURE)
        .tensor(b"x", (32,), 0, 0)
        .tensor(b"x", (32,), 0, 128)
        .body(256)
        .data,
        "'x' appears twice",
        id="tensor twice",
    ),
    pytest.param(
        Raw(tensors=2, keys=1)
        .key(*ARCHITECTURE)
        .tensor(b"x", (32,), 0, 0)
        .tensor(b"y", (32,), 0, 64)
        .body(256)
        .data,
        "overlap",
        id="tensors overlap",
    ),
    *(
        pytest.param(
            Raw(tensors=1, keys=1)
            .key(b"general.alignment", kind, value)
            .tensor(b"x", (32,), 0, 0)
            .body(128)
            .data,
            "power of two",
            id=f"alignment of {name}",
        )
        for name, kind, value in [
            ("zero", 4, bytes(4)),
            ("three", 4, b"\x03\0\0\0"),
            ("a text", 8, U64(2) + b"32"),
        ]
    ),
]


@pytest.mark.parametrize(("data", "says"), HOSTILE)
def test_hostile_headers_are_refused_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(BadModelError, match=says) as caught:
            read_file(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak_bytes < 2 * MIB


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf", tokens=100)
    data = path.read_bytes()
    needed = len(data) - 32  # the last tensor may be padded
    for length in [*range(400), *range(400, needed, 997)]:
        path.write_bytes(data[:length])
        with pytest.raises(BadModelError):
            read_file(path)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_flipped_bytes_never_crash_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "model.gguf"
    if not path.exists():
        gguf_file(path, tokens=20)
        path.with_suffix(".good").write_bytes(path.read_bytes())
    bad = bytearray(path.with_suffix(".good").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, 1500))] = data.draw(st.integers(0, 255))
    path.write_bytes(bad)
    try:
        shape = read_file(path)
    except BadModelError:
        return
    assert sum(tensor.size_bytes for tensor in shape.tensors) <= shape.file_bytes


class CountingSource(FileSource):
    read_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self.read_bytes += len(data)
        return data


def test_a_sparse_giant_full_of_empty_texts_takes_neither_memory_nor_time(tmp_path: Path) -> None:
    """A hole of 64 GiB reads as texts of length zero, as many as the file claims."""
    path = tmp_path / "giant.gguf"
    path.write_bytes(Raw(keys=1).array(b"k", 8, 1 << 32).data)
    with path.open("r+b") as file:
        file.truncate(64 << 30)
    source = CountingSource(path)
    with pytest.raises(BadModelError, match="more than 16777216 texts"):
        read_header(source)
    assert source.read_bytes < MIB


def test_many_kept_values_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "kept.gguf"
    raw = Raw(keys=5)
    for number in range(5):
        raw.key(b"k%d" % number, 8, U64(4 * MIB) + bytes(4 * MIB))
    path.write_bytes(raw.body(64).data)
    with pytest.raises(BadModelError, match="more than 16 MiB of values"):
        read_file(path)


def test_a_folder_and_a_missing_file_are_no_models(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.gguf"):
        with pytest.raises(BadModelError, match="is not a file"):
            read_file(path)


def header_of(path: Path, data: bytes, size_bytes: int = 0) -> tuple[int, int]:
    """The counts of tensors and keys of a file of ``data``, with a hole behind up to ``size_bytes``."""
    with path.open("wb") as file:
        file.write(data)
        file.truncate(max(size_bytes, len(data)))
    return read_header(FileSource(path)).counts


def test_the_shortest_header_has_24_bytes(tmp_path: Path) -> None:
    assert header_of(tmp_path / "least.gguf", Raw().data) == (0, 0)
    with pytest.raises(BadModelError, match="it has 23 bytes, a header has at least 24"):
        header_of(tmp_path / "less.gguf", Raw().data[:-1])


@pytest.mark.parametrize(
    ("raw", "size_bytes", "says"),
    [
        pytest.param(Raw(tensors=10), 24 + 311, "claims 10 tensors", id="tensors have 32 bytes at least"),
        pytest.param(Raw(keys=10), 24 + 129, "claims 10 keys", id="keys have 13 bytes at least"),
        pytest.param(Raw(keys=65537), 16 * MIB, "claims 65537 keys", id="more keys than any model has"),
        pytest.param(Raw(tensors=131073), 16 * MIB, "claims 131073 tensors", id="more tensors"),
        pytest.param(Raw(keys=65536), 16 * MIB, "appears twice", id="as many keys as are read"),
        pytest.param(Raw(tensors=131072), 16 * MIB, "dimensions", id="as many tensors as are read"),
    ],
)
def test_counts_that_a_file_can_t_hold_are_refused_before_anything_is_read(
    tmp_path: Path, raw: Raw, size_bytes: int, says: str
) -> None:
    with pytest.raises(BadModelError, match=says):
        header_of(tmp_path / "counts.gguf", raw.data, size_bytes)


@pytest.mark.parametrize(
    "data",
    [
        Raw(tensors=1, keys=1).key(*ARCHITECTURE).tensor(b"\x1b[2J" * 9000, (32,), 142, 0).body(128).data,
        Raw(tensors=1, keys=1).key(*ARCHITECTURE).tensor(b"x" * 90_000, (32,) * 9, 0, 0).body(128).data,
        Raw(keys=2).key(b"k" * 90_000, 4, bytes(4)).key(b"k" * 90_000, 4, bytes(4)).body(64).data,
    ],
)
def test_a_name_of_any_length_fills_no_screen(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(BadModelError) as raised:
        read_file(path)
    assert len(raised.value.in_full) < 600
    assert "\x1b" not in raised.value.in_full
