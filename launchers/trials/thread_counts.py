"""Measures which thread count is fastest: the obvious one can be eight times slower than one less.

On two virtual cores shared with others, a model of 135 M decodes 17 tokens/s with two threads and 142 with
one: threads that spin while they wait for one that isn't scheduled take the CPU from it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from launchers.process.engine import EngineProcess

log = logging.getLogger(__name__)

Serve = Callable[[int], AbstractAsyncContextManager[EngineProcess]]

TOKENS = 24
REPEATS = 2
FAR_SLOWER = 0.6  # of the best rate so far: not worth repeating, nor worth going on in that direction


def candidate_counts(
    usable_cpus: int | None, quota_cpus: float | None = None, performance_cores: int | None = None
) -> tuple[int, ...]:
    """Thread counts to try, the safest first: one less than the obvious count, the obvious one, half of it,
    and all logical CPUs where those are more."""
    limit = usable_cpus or 1
    if quota_cpus is not None:
        limit = min(limit, max(1, int(quota_cpus)))
    obvious = min(limit, performance_cores or limit)
    counts = (obvious - 1, obvious, obvious // 2, limit)
    return tuple(dict.fromkeys(count for count in counts if count >= 1))


async def measure(
    serve: Serve,
    counts: Sequence[int],
    *,
    budget_s: float = 120.0,
    repeats: int = REPEATS,
) -> dict[int, float]:
    """Tokens/s by thread count, measured with the real engine and model, one count at a time: ``serve``
    yields a ready engine with that count, and stops it.

    The slowest repeat counts: on a shared machine a count that is too high is fast now and then. A count
    beyond one that is far slower than the best is left out. Stops when the budget is spent, but not before
    the first. Raises: what ``serve`` raises.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + budget_s
    rates: dict[int, float] = {}
    for count in counts:
        if rates and loop.time() > until:
            break
        if _is_beyond_a_slow_one(count, rates):
            continue
        async with serve(count) as process:
            rate = await _rate(process, repeats, best=max(rates.values(), default=0.0))
        if rate is None:
            continue
        rates[count] = rate
        log.info("threads measured: threads=%d tokens_per_s=%.1f", count, rate)
    return rates


def _is_beyond_a_slow_one(count: int, rates: Mapping[int, float]) -> bool:
    """Whether it is more than a count that is too high, or less than one that is too low."""
    if not rates:
        return False
    best = max(rates, key=lambda tried: rates[tried])
    slow = [tried for tried, rate in rates.items() if rate < FAR_SLOWER * rates[best]]
    return any(best < tried < count or count < tried < best for tried in slow)


async def measure_rate(process: EngineProcess) -> float | None:
    """Tokens/s of one ready engine, by the slowest repeat."""
    return await _rate(process, REPEATS, best=0.0)


async def _rate(process: EngineProcess, repeats: int, *, best: float) -> float | None:
    first = None if process.ready is None else process.ready.decode_tokens_per_s
    if first is not None and first < FAR_SLOWER * best:
        return first
    rates = [await process.measure(TOKENS) for _ in range(repeats)]
    return min((rate for rate in (*rates, first) if rate is not None), default=None)
