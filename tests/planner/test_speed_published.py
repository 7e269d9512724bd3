"""Predicted speeds against published ones that took no part in a fit."""

import pytest

from tests.rigs.speed_errors import all_comparisons, coverage, five_folds, quantile, select, table
from tests.rigs.speed_rows import rows


@pytest.fixture(scope="module", autouse=True)
def printed() -> None:
    print(table())


def test_decode_that_took_no_part_in_the_fit_is_predicted() -> None:
    comparisons = select("decode", held_out=True)
    assert len(comparisons) >= 70
    assert quantile(comparisons, 0.5) <= 0.12, table()
    assert quantile(comparisons, 0.9) <= 0.30, table()


@pytest.mark.parametrize(
    ("phase", "median", "nine_of_ten"),
    [
        pytest.param("decode", 0.12, 0.40, id="decode"),
        pytest.param("prefill", 0.30, 0.60, id="prefill"),
    ],
)
def test_shares_fitted_without_a_fifth_of_the_runs_predict_it(
    phase: str, median: float, nine_of_ten: float
) -> None:
    comparisons = five_folds(phase)
    assert len(comparisons) >= 190
    assert quantile(comparisons, 0.5) <= median, table()
    assert quantile(comparisons, 0.9) <= nine_of_ten, table()


def test_the_true_decode_is_in_the_range_nine_times_of_ten() -> None:
    assert coverage(select("decode", held_out=True)) >= 0.9, table()


def test_the_true_prefill_is_in_the_range_nine_times_of_ten() -> None:
    assert coverage(five_folds("prefill")) >= 0.9, table()


def test_every_published_run_is_predicted() -> None:
    """Except those that need the bandwidth of a RAM that is not known."""
    predicted = {(comparison.row.number, comparison.phase) for comparison in all_comparisons()}
    asked = {(row.number, "decode") for row in rows() if row.decode_tokens_per_s}
    asked |= {(row.number, "prefill") for row in rows() if row.prefill_tokens_per_s}
    ram_unknown = {row.number for row in rows() if row.hardware.memory.bandwidth_bytes_per_s is None}
    assert {number for number, _ in asked - predicted} <= ram_unknown


def test_ranges_are_narrow() -> None:
    """Nine of ten would be easy with wide ranges."""
    for comparison in select("decode", held_out=True):
        assert comparison.predicted.high / comparison.predicted.low < 3.1
