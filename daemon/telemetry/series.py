"""From rows of the file to the series of a history, and what they come to. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from daemon.state.telemetry.buckets import Bucket
from daemon.state.telemetry.database import Row
from domain.telemetry import METRICS, Metric, Point, Series, Summary, What

Buckets = Mapping[tuple[Metric, str], Mapping[int, Bucket]]
KNOWN = frozenset(Metric)


def by_series(rows: Iterable[Row], subjects: Collection[str]) -> Buckets:
    """Without what another version may have written."""
    found: dict[tuple[Metric, str], dict[int, Bucket]] = defaultdict(dict)
    for row in rows:
        if row.metric in KNOWN and row.subject in subjects and row.bucket.samples > 0:
            found[Metric(row.metric), row.subject][row.point] = row.bucket
    return found


def build(
    found: Buckets, what: What | None, subjects: Sequence[str], names: Mapping[str, str], points: int
) -> tuple[Series, ...]:
    """In the order of what is recorded, then of ``subjects``; of each at least one point is known."""
    metrics = [metric for one in ([what] if what else What) for metric in METRICS[one]]
    return tuple(
        _series(metric, subject, names[subject], buckets, points)
        for metric in metrics
        for subject in subjects
        if (buckets := found.get((metric, subject)))
    )


def summarise(found: Buckets, energy_of: Iterable[str], names: Mapping[str, str]) -> Summary:
    """Without the hottest moment. ``energy_of`` are the subjects whose energy is told."""
    energy = {
        names[subject]: round(sum(one.total for one in buckets.values()), 3)
        for subject in energy_of
        if (buckets := found.get((Metric.ENERGY, subject)))
    }
    return Summary(
        _count(found, Metric.PROMPT_TOKENS),
        _count(found, Metric.GENERATED_TOKENS),
        _count(found, Metric.UNKNOWN_ANSWERS),
        energy,
    )


def _series(metric: Metric, subject: str, name: str, buckets: Mapping[int, Bucket], points: int) -> Series:
    drawn = tuple(_point(metric, buckets[number]) if number in buckets else None for number in range(points))
    if metric.is_counted:
        totals = [bucket.total for bucket in buckets.values()]
        total, lowest, highest = sum(totals), min(totals), max(totals)
        mean = total / len(totals)
    else:
        total, lowest = None, min(bucket.lowest for bucket in buckets.values())
        highest = max(bucket.highest for bucket in buckets.values())
        mean = _mean(buckets.values())
    figures = (_figure(metric, value) for value in (lowest, mean, highest, total))
    return Series(metric, subject, name, metric.unit, drawn, *figures)


def _point(metric: Metric, bucket: Bucket) -> Point:
    if metric.is_counted:
        return Point(bucket.samples, total=_figure(metric, bucket.total))
    figures = (_figure(metric, value) for value in (bucket.lowest, _mean([bucket]), bucket.highest))
    return Point(bucket.samples, *figures)


def _mean(buckets: Iterable[Bucket]) -> float:
    whole = list(buckets)
    return sum(one.total for one in whole) / max(1, sum(one.seconds for one in whole))


def _figure(metric: Metric, value: float | None) -> float | None:
    """Bytes are whole; of others three decimals are more than a sensor knows."""
    return None if value is None else round(value) if metric is Metric.MEMORY else round(value, 3)


def _count(found: Buckets, metric: Metric) -> int | None:
    """Over all launches; ``None`` where none was served."""
    totals = [
        bucket.total for (one, _), buckets in found.items() if one is metric for bucket in buckets.values()
    ]
    return round(sum(totals)) if totals else None
