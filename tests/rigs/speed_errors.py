"""Errors of the planner's speeds against published ones, per class: bench/ prints them, a test bounds them.

An error is the difference divided by the measured figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from domain.launches.plan import Range
from planner.machine.efficiency import DECODE_SPREAD, PREFILL_SPREAD, speed_range
from tests.rigs.speed_fit import Case, all_cases, cross_validated
from tests.rigs.speed_rows import Row

HOST_KINDS = ("cpu", "gpu + cpu")


@dataclass(frozen=True, slots=True)
class Comparison:
    """``phase`` is ``decode`` or ``prefill``; ``kind`` the class of what does the work."""

    row: Row
    phase: str
    kind: str
    measured: float
    predicted: Range

    @property
    def error(self) -> float:
        return abs(self.predicted.expected / self.measured - 1)

    @property
    def is_in_range(self) -> bool:
        return self.predicted.low <= self.measured <= self.predicted.high


@cache
def all_comparisons() -> tuple[Comparison, ...]:
    """Of every published figure that the planner predicts."""
    return tuple(_compare(case, case.predict() or 0.0) for case in all_cases())


def _compare(case: Case, predicted: float) -> Comparison:
    spreads = DECODE_SPREAD if case.phase == "decode" else PREFILL_SPREAD
    return Comparison(
        case.row, case.phase, case.kind, case.measured, speed_range(predicted, spreads[case.kind])
    )


def select(phase: str, *, ram_assumed: bool = False) -> tuple[Comparison, ...]:
    return tuple(
        comparison
        for comparison in all_comparisons()
        if (comparison.phase, comparison.row.ram_assumed) == (phase, ram_assumed)
    )


@cache
def folds(phase: str) -> tuple[Comparison, ...]:
    """Each figure as predicted with efficiencies fitted without the boxes of its fold. Runs that use cores or
    the link, whose efficiencies are not fitted, are predicted with the planner's own."""
    refitted = [_compare(case, predicted) for case, predicted in cross_validated(phase)]
    unfitted = [comparison for comparison in select(phase) if comparison.kind in HOST_KINDS]
    return (*refitted, *unfitted)


def quantile(comparisons: Sequence[Comparison], share: float) -> float:
    errors = sorted(comparison.error for comparison in comparisons)
    return errors[min(len(errors) - 1, int(share * len(errors)))]


def coverage(comparisons: Sequence[Comparison]) -> float:
    return sum(comparison.is_in_range for comparison in comparisons) / len(comparisons)


def table() -> str:
    """Median, p90 and worst error per class, as the planner predicts and by folds."""
    lines: list[str] = []
    for title, phase, comparisons in (
        ("fitted", "decode", select("decode")),
        ("folds over boxes", "decode", folds("decode")),
        ("RAM assumed", "decode", select("decode", ram_assumed=True)),
        ("fitted", "prefill", select("prefill")),
        ("folds over boxes", "prefill", folds("prefill")),
        ("RAM assumed", "prefill", select("prefill", ram_assumed=True)),
    ):
        lines += _lines(f"{phase}, {title}", comparisons)
    return "\n".join(lines)


def _lines(title: str, comparisons: Sequence[Comparison]) -> list[str]:
    by_kind: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_kind.setdefault(comparison.kind, []).append(comparison)
    head = f"{title:26} {'rows':>5} {'boxes':>6} {'median':>7} {'p90':>7} {'worst':>7} {'in range':>9}"
    return [
        head,
        _line("  together", comparisons),
        *(_line(f"  {kind}", by_kind[kind]) for kind in sorted(by_kind)),
    ]


def _line(title: str, comparisons: Sequence[Comparison]) -> str:
    median, p90, worst = (quantile(comparisons, share) for share in (0.5, 0.9, 1.0))
    boxes = len({comparison.row.box for comparison in comparisons})
    errors = f"{median:7.1%} {p90:7.1%} {worst:7.1%}"
    return f"{title:26} {len(comparisons):5} {boxes:6} {errors} {coverage(comparisons):9.0%}"
