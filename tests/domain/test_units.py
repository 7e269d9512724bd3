"""How bytes, rates and times are printed."""

import gguf
import pytest

from domain import units
from domain.models import ggml
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "?"), (0, "0 MiB"), (98362432, "94 MiB"), (units.GIB, "1.0 GiB"), (63387346464, "59.0 GiB")],
)
def test_bytes_are_printed_in_binary_units(count: int | None, text: str):
    assert units.gib(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.42, "0.4 s"), (59.94, "59.9 s"), (75, "1 min 15 s"), (3725, "1 h 02 min")],
)
def test_times_are_printed_for_people(seconds: float | None, text: str):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(None, "?"), (0.0434, "0.043"), (0.43, "0.43"), (7.31, "7.3"), (19.4, "19.4"), (85.4, "85")],
)
def test_a_rate_is_never_rounded_to_nothing(per_s: float | None, text: str):
    assert units.rate(per_s) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4 GB", 4_000_000_000),
        ("4GB", 4_000_000_000),
        ("4 GiB", 4 * units.GIB),
        ("500 MB", 500_000_000),
        ("1.5 tib", 1536 * units.GIB),
        ("0 GB", 0),
        ("1073741824 B", units.GIB),
    ],
)
def test_a_size_is_read_as_owners_write_it(text: str, count: int):
    assert units.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "4", "4 gallons", "4 iB", "-1 GB", "1,5 GB", "1e9 GB", "20MB/s"])
def test_what_is_no_size_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="is not a size such as 4 GB"):
        units.parse_size(text)


def test_the_type_table_is_the_engines_own():
    """Of its newest build (``tests/captures/llama.cpp/README.md``); the package is older."""
    lines = (ROOT / "tests/captures/llama.cpp/types-b11434.txt").read_text().splitlines()
    engine = {
        int(number): (name.upper(), int(block), int(size))
        for number, name, block, size in map(str.split, lines)
    }
    ours = {number: (kind.name, kind.block, kind.block_bytes) for number, kind in ggml.BY_ID.items()}
    assert ours == engine
    package = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number for number in ours if ours[number] != package.get(number)} == {9, 42}
    assert not ggml.REMOVED.keys() & ours.keys()


def test_a_row_is_a_whole_number_of_blocks():
    assert ggml.BY_NAME["Q4_K"].row_bytes(512) == 288
    with pytest.raises(ValueError, match=r"576.*Q4_K.*256"):
        ggml.BY_NAME["Q4_K"].row_bytes(576)
