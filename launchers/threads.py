"""How many threads are fastest, by trying: the obvious count can be eight times slower than one less.

On two virtual cores that others use, too, a model of 135 M makes 17 tokens a second with two threads and
142 with one: threads that wait for one that isn't running burn what the others need.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from launchers.process import EngineProcess

log = logging.getLogger(__name__)

TOKENS = 24
REPEATS = 2
FAR_SLOWER = 0.6  # of the best so far: after that, fewer or more of the same only get worse
START_TIMEOUT_S = 300.0


def counts(
    usable_cpus: int | None, quota_cpus: float | None = None, performance_cores: int | None = None
) -> tuple[int, ...]:
    """What to try, most promising first: the obvious count, always one less, then half of it, and at
    the end all logical CPUs where those are more."""
    limit = usable_cpus or 1
    if quota_cpus is not None:
        limit = min(limit, max(1, int(quota_cpus)))
    obvious = min(limit, performance_cores or limit)
    tries = (obvious, obvious - 1, obvious // 2, limit)
    return tuple(dict.fromkeys(count for count in tries if count >= 1))


async def tune(
    make_process: Callable[[int], EngineProcess],
    tries: Sequence[int],
    *,
    budget_s: float = 120.0,
    repeats: int = REPEATS,
) -> dict[int, float]:
    """Tokens a second by thread count, measured with the real engine and model, one at a time.

    Stops early at a count that is far slower than the best, never before the second, and when the budget
    is spent, never before the first. Raises: EngineError when the engine can't be started.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + budget_s
    rates: dict[int, float] = {}
    for count in tries:
        if rates and loop.time() > until:
            break
        rate = await _rate(make_process(count), repeats)
        if rate is None:
            continue
        rates[count] = rate
        log.info("threads tried: threads=%d tokens_per_s=%.1f", count, rate)
        if len(rates) > 1 and rate < FAR_SLOWER * max(rates.values()):
            break
    return rates


async def _rate(process: EngineProcess, repeats: int) -> float | None:
    try:
        ready = await process.ensure_ready(START_TIMEOUT_S)
        seen = [await process.measure(TOKENS) for _ in range(repeats)]
        return max((rate for rate in (*seen, ready.decode_tokens_per_s) if rate is not None), default=None)
    finally:
        await process.stop()
