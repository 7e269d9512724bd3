"""Predicted speeds against published ones, with efficiencies that were fitted without their boxes."""

import pytest

from tests.rigs.speed_boxes import rows
from tests.rigs.speed_errors import all_comparisons, coverage, folds, quantile, select, table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "count", "median", "nine_of_ten", "in_range"),
    [
        pytest.param("decode", 440, 0.13, 0.40, 0.88, id="decode"),
        pytest.param("prefill", 430, 0.30, 0.95, 0.85, id="prefill"),
    ],
)
def test_speeds_of_boxes_that_took_no_part_in_the_fit(
    phase: str, count: int, median: float, nine_of_ten: float, in_range: float
) -> None:
    comparisons = folds(phase)
    assert len(comparisons) >= count
    assert quantile(comparisons, 0.5) <= median, table()
    assert quantile(comparisons, 0.9) <= nine_of_ten, table()
    assert coverage(comparisons) >= in_range, table()


@pytest.mark.parametrize(
    ("phase", "median", "nine_of_ten"), [("decode", 0.09, 0.32), ("prefill", 0.22, 0.60)]
)
def test_speeds_that_were_fitted(phase: str, median: float, nine_of_ten: float) -> None:
    comparisons = select(phase)
    assert quantile(comparisons, 0.5) <= median, table()
    assert quantile(comparisons, 0.9) <= nine_of_ten, table()
    assert coverage(comparisons) >= 0.92, table()


def test_every_published_run_is_predicted() -> None:
    """Except those that need the bandwidth of a RAM that is not known."""
    predicted = {(comparison.row.number, comparison.phase) for comparison in all_comparisons()}
    asked = {(row.number, "decode") for row in rows() if row.decode_tokens_per_s}
    asked |= {(row.number, "prefill") for row in rows() if row.prefill_tokens_per_s}
    ram_unknown = {row.number for row in rows() if row.hardware.memory.bandwidth_bytes_per_s is None}
    assert {number for number, _ in asked - predicted} <= ram_unknown


def test_ranges_are_narrow() -> None:
    """Nine of ten would be easy with wide ranges."""
    for comparison in select("decode"):
        assert comparison.predicted.high / comparison.predicted.low < 3.1
