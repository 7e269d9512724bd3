"""How many threads are fastest, by trying: the obvious count can be eight times slower than one less.

On two virtual cores that others use, too, a model of 135 M makes 17 tokens a second with two threads and
142 with one: threads that wait for one that isn't running burn what the others need.
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
FAR_SLOWER = 0.6  # of the best so far: not worth measuring well, nor worth going on in that direction


def counts(
    usable_cpus: int | None, quota_cpus: float | None = None, performance_cores: int | None = None
) -> tuple[int, ...]:
    """What to try, the safest first: one less than the obvious count, the obvious one, half of it, and at
    the end all logical CPUs where those are more."""
    limit = usable_cpus or 1
    if quota_cpus is not None:
        limit = min(limit, max(1, int(quota_cpus)))
    obvious = min(limit, performance_cores or limit)
    tries = (obvious - 1, obvious, obvious // 2, limit)
    return tuple(dict.fromkeys(count for count in tries if count >= 1))


async def tune(
    serve: Serve,
    tries: Sequence[int],
    *,
    budget_s: float = 120.0,
    repeats: int = REPEATS,
) -> dict[int, float]:
    """Tokens a second by thread count, measured with the real engine and model, one at a time: ``serve``
    gives an engine of that count which answers, and ends it.

    A count stands for its slowest repeat: on a shared box a count that is too high is fast now and then. A
    count beyond one that is far slower than the best is left out. Stops when the budget is spent, never
    before the first. Raises: what ``serve`` raises.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + budget_s
    rates: dict[int, float] = {}
    for count in tries:
        if rates and loop.time() > until:
            break
        if _is_beyond_a_slow_one(count, rates):
            continue
        async with serve(count) as process:
            rate = await _rate(process, repeats, best=max(rates.values(), default=0.0))
        if rate is None:
            continue
        rates[count] = rate
        log.info("threads tried: threads=%d tokens_per_s=%.1f", count, rate)
    return rates


def _is_beyond_a_slow_one(count: int, rates: Mapping[int, float]) -> bool:
    """More threads than a count that is too many, or fewer than one that is too few."""
    if not rates:
        return False
    best = max(rates, key=lambda tried: rates[tried])
    slow = [tried for tried, rate in rates.items() if rate < FAR_SLOWER * rates[best]]
    return any(best < tried < count or count < tried < best for tried in slow)


async def _rate(process: EngineProcess, repeats: int, *, best: float) -> float | None:
    first = None if process.ready is None else process.ready.decode_tokens_per_s
    if first is not None and first < FAR_SLOWER * best:
        return first
    seen = [await process.measure(TOKENS) for _ in range(repeats)]
    return min((rate for rate in (*seen, first) if rate is not None), default=None)
