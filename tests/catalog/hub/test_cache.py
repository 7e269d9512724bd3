"""What was read before: found again by digest, dropped when it is old, ignored when it is damaged."""

import os
from pathlib import Path

import pytest

from catalog.formats.gguf.reader import read_file
from catalog.hub.cache import Cache
from catalog.hub.client import Listing
from domain.models.model import ModelShape, Tensor, WeightFile
from tests.catalog.build import gguf_file

LISTING = Listing("o/r", "0" * 40, (WeightFile("a.gguf", 5000, "ab"), WeightFile("README.md", 10)))


def a_shape(number: int) -> ModelShape:
    tensors = tuple(Tensor(f"blk.{index}.{number}", "Q4_K", (256, 64), 9216) for index in range(50))
    return ModelShape(
        "llama", tensors, 1 << 40, {"llama.rope.factor": 0.1, "llama.some": (1, 2)}, {"x": 5000}
    )


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_header_comes_back_as_it_was_read(tmp_path: Path) -> None:
    shape = read_file(gguf_file(tmp_path / "m.gguf"))
    Cache(tmp_path / "seen").store_shape(["ab", "cd"], shape)
    again = Cache(tmp_path / "seen")
    assert again.shape(["ab", "cd"]) == shape
    assert again.shape(["cd", "ab"]) is None
    assert again.shape(["ab"]) is None


def test_a_listing_comes_back_with_the_time_it_was_seen(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.store_listing(LISTING, "main")
    assert cache.listing("o/r", None) is None
    found = cache.listing("o/r", "main")
    assert found is not None
    assert found[0] == LISTING
    assert found[1].endswith("+00:00")


@pytest.mark.parametrize("keep", [0, 10, 40, -1])
def test_an_entry_that_is_cut_off_is_not_there_until_it_is_written_again(tmp_path: Path, keep: int) -> None:
    cache = Cache(tmp_path)
    cache.store_shape(["ab"], a_shape(1))
    [entry] = entries(tmp_path)
    entry.write_bytes(entry.read_bytes()[:keep])
    assert cache.shape(["ab"]) is None
    cache.store_shape(["ab"], a_shape(1))
    assert cache.shape(["ab"]) == a_shape(1)


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.store_shape(["ab"], a_shape(1))
    [entry] = entries(tmp_path)
    data = entry.read_bytes()
    for at in range(0, len(data), 7):
        entry.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert cache.shape(["ab"]) is None, at


def test_what_another_version_wrote_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    with monkeypatch.context() as other:
        other.setattr("catalog.hub.cache.FORMAT", b"node-daemon seen 0\n")
        cache.store_shape(["ab"], a_shape(1))
        cache.store_listing(LISTING, None)
    assert cache.shape(["ab"]) is None
    assert cache.listing("o/r", None) is None


def test_a_value_of_another_kind_does_not_count(tmp_path: Path) -> None:
    """As after a rename of one entry to the name of another."""
    cache = Cache(tmp_path)
    cache.store_listing(LISTING, None)
    [listed] = entries(tmp_path)
    cache.store_shape(["ab"], a_shape(1))
    [header] = set(entries(tmp_path)) - {listed}
    header.write_bytes(listed.read_bytes())
    assert cache.shape(["ab"]) is None


def test_a_listing_that_leads_out_of_its_folder_does_not_count(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.store_listing(Listing("o/r", "0" * 40, (WeightFile("../../x.gguf", 1),)), None)
    assert cache.listing("o/r", None) is None


def test_an_entry_that_unpacks_to_more_than_memory_holds_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    cache.store_shape(["ab"], a_shape(1))
    monkeypatch.setattr("catalog.hub.cache.MAX_ENTRY_BYTES", 1000)
    assert cache.shape(["ab"]) is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    Cache(tmp_path).store_shape(["0"], a_shape(0))
    [entry] = entries(tmp_path)
    limit_bytes = entry.stat().st_size * 4
    cache = Cache(tmp_path, limit_bytes=limit_bytes)
    for number in range(1, 4):
        cache.store_shape([str(number)], a_shape(number))
    for order, path in enumerate(sorted(entries(tmp_path), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, ns=(order, order))
    assert cache.shape(["0"]) is not None  # used now
    for number in range(10, 12):
        cache.store_shape([str(number)], a_shape(number))
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= limit_bytes
    assert [cache.shape([str(number)]) is not None for number in (0, 1, 10, 11)] == [True, False, True, True]


def test_a_folder_that_takes_no_files_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "seen")
    cache.store_shape(["ab"], a_shape(1))
    assert cache.shape(["ab"]) is None
