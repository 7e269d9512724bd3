"""Errors of the planner's speeds against published ones, per class: bench/ prints them, a test bounds them.

An error is the difference divided by the measured figure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from domain.plan import Range
from planner.llama_cpp.estimate import estimate
from planner.machine.efficiency import DECODE_SPREAD, PREFILL_SPREAD, speed_range
from tests.rigs.speed_fit import cross_validated
from tests.rigs.speed_rows import HOST_KINDS, Row, rows


@dataclass(frozen=True, slots=True)
class Comparison:
    """``phase`` is ``decode`` or ``prefill``."""

    row: Row
    phase: str
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
    return tuple(comparison for row in rows() for comparison in _compare(row))


def _compare(row: Row) -> Iterable[Comparison]:
    speed = estimate(row.shape, row.flags, row.hardware, depth_tokens=row.depth_tokens).speed
    if row.decode_tokens_per_s and speed.decode_tokens_per_s:
        yield Comparison(row, "decode", row.decode_tokens_per_s, speed.decode_tokens_per_s)
    if row.prefill_tokens_per_s and speed.prefill_tokens_per_s:
        yield Comparison(row, "prefill", row.prefill_tokens_per_s, speed.prefill_tokens_per_s)


def select(phase: str, *, held_out: bool | None = None, ram_assumed: bool = False) -> tuple[Comparison, ...]:
    """``held_out`` ``None``: whether held out or fitted."""
    return tuple(
        comparison
        for comparison in all_comparisons()
        if (comparison.phase, comparison.row.ram_assumed) == (phase, ram_assumed)
        and held_out in (None, comparison.row.held_out)
    )


@cache
def five_folds(phase: str) -> tuple[Comparison, ...]:
    """Each figure as predicted with efficiencies fitted without its fold. Runs that use cores or the link,
    whose efficiencies are not fitted, are predicted with the planner's own."""
    spreads = DECODE_SPREAD if phase == "decode" else PREFILL_SPREAD
    refitted = [
        Comparison(case.row, phase, case.measured, speed_range(predicted, spreads[case.kind]))
        for case, predicted in cross_validated(phase)
    ]
    unfitted = [comparison for comparison in select(phase) if comparison.row.kind in HOST_KINDS]
    return (*refitted, *unfitted)


def quantile(comparisons: Sequence[Comparison], share: float) -> float:
    errors = sorted(comparison.error for comparison in comparisons)
    return errors[min(len(errors) - 1, int(share * len(errors)))]


def coverage(comparisons: Sequence[Comparison]) -> float:
    return sum(comparison.is_in_range for comparison in comparisons) / len(comparisons)


def table() -> str:
    """Median, p90 and worst error per class. The planner's efficiencies of decode were fitted on a part of
    the rows, those of prefill on all; five folds fit both again."""
    lines: list[str] = []
    for title, phase, comparisons in (
        ("held out", "decode", select("decode", held_out=True)),
        ("fitted", "decode", select("decode", held_out=False)),
        ("five folds", "decode", five_folds("decode")),
        ("all, RAM assumed", "decode", select("decode", ram_assumed=True)),
        ("fitted", "prefill", select("prefill")),
        ("five folds", "prefill", five_folds("prefill")),
        ("all, RAM assumed", "prefill", select("prefill", ram_assumed=True)),
    ):
        lines += _lines(f"{phase}, {title}", comparisons)
    return "\n".join(lines)


def _lines(title: str, comparisons: Sequence[Comparison]) -> list[str]:
    by_kind: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_kind.setdefault(comparison.row.kind, []).append(comparison)
    head = f"{title:26} {'rows':>5} {'median':>7} {'p90':>7} {'worst':>7} {'in range':>9}"
    return [
        head,
        _line("  together", comparisons),
        *(_line(f"  {kind}", by_kind[kind]) for kind in sorted(by_kind)),
    ]


def _line(title: str, comparisons: Sequence[Comparison]) -> str:
    median, p90, worst = (quantile(comparisons, share) for share in (0.5, 0.9, 1.0))
    errors = f"{median:7.1%} {p90:7.1%} {worst:7.1%}"
    return f"{title:26} {len(comparisons):5} {errors} {coverage(comparisons):9.0%}"
