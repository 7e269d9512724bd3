"""The planner's speeds beside the published ones: errors per class, as bench/ prints and a test bounds them.

An error is the distance as a share of the measured figure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from domain.plan import Range
from planner.llama_cpp.estimate import estimate
from planner.machine.efficiency import DECODE_SPREAD, PREFILL_SPREAD, speed_range
from tests.rigs.speed_fit import folded
from tests.rigs.speed_rows import HOST_KINDS, Row, rows


@dataclass(frozen=True, slots=True)
class Compared:
    """``what`` is ``decode`` or ``prefill``."""

    row: Row
    what: str
    measured: float
    predicted: Range

    @property
    def error(self) -> float:
        return abs(self.predicted.expected / self.measured - 1)

    @property
    def is_in_range(self) -> bool:
        return self.predicted.low <= self.measured <= self.predicted.high


@cache
def compared() -> tuple[Compared, ...]:
    """Every published figure that is predicted."""
    return tuple(found for row in rows() for found in _compare(row))


def _compare(row: Row) -> Iterable[Compared]:
    speed = estimate(row.shape, row.flags, row.hardware, depth_tokens=row.depth_tokens).speed
    if row.decode_tokens_per_s and speed.decode_tokens_per_s:
        yield Compared(row, "decode", row.decode_tokens_per_s, speed.decode_tokens_per_s)
    if row.prefill_tokens_per_s and speed.prefill_tokens_per_s:
        yield Compared(row, "prefill", row.prefill_tokens_per_s, speed.prefill_tokens_per_s)


def chosen(what: str, *, held_out: bool | None = None, ram_assumed: bool = False) -> tuple[Compared, ...]:
    """``held_out`` ``None``: those of both sides."""
    return tuple(
        one
        for one in compared()
        if (one.what, one.row.ram_assumed) == (what, ram_assumed) and held_out in (None, one.row.held_out)
    )


@cache
def five_folds(what: str) -> tuple[Compared, ...]:
    """Each figure as shares predict it that were fitted without its fold. Where cores or the link count,
    whose shares no rule fits, the figure is the planner's own."""
    spreads = DECODE_SPREAD if what == "decode" else PREFILL_SPREAD
    refitted = [
        Compared(case.row, what, case.measured, speed_range(found, spreads[case.kind]))
        for case, found in folded(what)
    ]
    own = [one for one in chosen(what) if one.row.kind in HOST_KINDS]
    return (*refitted, *own)


def quantile(found: Sequence[Compared], share: float) -> float:
    errors = sorted(one.error for one in found)
    return errors[min(len(errors) - 1, int(share * len(errors)))]


def coverage(found: Sequence[Compared]) -> float:
    return sum(one.is_in_range for one in found) / len(found)


def table() -> str:
    """Median, p90 and worst error per class. Decode's shares were fitted on a part of the rows, prefill's
    on all; either is fitted again without a fifth at a time."""
    lines: list[str] = []
    for title, what, found in (
        ("held out", "decode", chosen("decode", held_out=True)),
        ("fitted", "decode", chosen("decode", held_out=False)),
        ("five folds", "decode", five_folds("decode")),
        ("all, RAM assumed", "decode", chosen("decode", ram_assumed=True)),
        ("fitted", "prefill", chosen("prefill")),
        ("five folds", "prefill", five_folds("prefill")),
        ("all, RAM assumed", "prefill", chosen("prefill", ram_assumed=True)),
    ):
        lines += _lines(f"{what}, {title}", found)
    return "\n".join(lines)


def _lines(title: str, found: Sequence[Compared]) -> list[str]:
    kinds = sorted({one.row.kind for one in found})
    head = f"{title:26} {'rows':>5} {'median':>7} {'p90':>7} {'worst':>7} {'in range':>9}"
    return [
        head,
        _line("  together", found),
        *(_line(f"  {kind}", [one for one in found if one.row.kind == kind]) for kind in kinds),
    ]


def _line(title: str, found: Sequence[Compared]) -> str:
    median, p90, worst = (quantile(found, share) for share in (0.5, 0.9, 1.0))
    return f"{title:26} {len(found):5} {median:7.1%} {p90:7.1%} {worst:7.1%} {coverage(found):9.0%}"
