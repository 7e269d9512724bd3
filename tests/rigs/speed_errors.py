"""The planner's speeds beside the published ones: errors per class, as bench/ prints and a test bounds them.

An error is the distance as a share of the measured figure.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from domain.plan import Range
from planner.estimate import estimate
from tests.rigs.speed_rows import Row, rows


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


def chosen(what: str, *, held_out: bool, ram_assumed: bool = False) -> tuple[Compared, ...]:
    return tuple(
        one
        for one in compared()
        if (one.what, one.row.held_out, one.row.ram_assumed) == (what, held_out, ram_assumed)
    )


def quantile(found: Sequence[Compared], share: float) -> float:
    errors = sorted(one.error for one in found)
    return errors[min(len(errors) - 1, int(share * len(errors)))]


def coverage(found: Sequence[Compared]) -> float:
    return sum(one.is_in_range for one in found) / len(found)


def table() -> str:
    """Median, p90 and worst error per class, of rows that the fit saw and of those that it did not."""
    lines: list[str] = []
    for what in ("decode", "prefill"):
        lines.append(f"{what:26} {'rows':>5} {'median':>7} {'p90':>7} {'worst':>7} {'in range':>9}")
        for title, held_out, assumed in (
            ("held out", True, False),
            ("fitted", False, False),
            ("held out, RAM assumed", True, True),
            ("fitted, RAM assumed", False, True),
        ):
            found = chosen(what, held_out=held_out, ram_assumed=assumed)
            lines += _lines(title, found, lambda one: one.row.kind) if found else []
    return "\n".join(lines)


def _lines(title: str, found: Sequence[Compared], key: Callable[[Compared], str]) -> list[str]:
    kinds = sorted({key(one) for one in found})
    return [
        _line(title, found),
        *(_line(f"  {kind}", [one for one in found if key(one) == kind]) for kind in kinds),
    ]


def _line(title: str, found: Sequence[Compared]) -> str:
    median, p90, worst = (quantile(found, share) for share in (0.5, 0.9, 1.0))
    return f"{title:26} {len(found):5} {median:7.1%} {p90:7.1%} {worst:7.1%} {coverage(found):9.0%}"
