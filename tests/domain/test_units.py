"""How bytes, rates and times are printed."""

import gguf
import pytest

from domain import ggml, units


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


def test_the_type_table_is_ggmls_own():
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {i: (t.name, t.block, t.block_bytes) for i, t in ggml.BY_ID.items()} == theirs


def test_a_row_is_a_whole_number_of_blocks():
    assert ggml.BY_NAME["Q4_K"].row_bytes(512) == 288
    with pytest.raises(ValueError, match=r"576.*Q4_K.*256"):
        ggml.BY_NAME["Q4_K"].row_bytes(576)
