"""What was in flight when the daemon died, and when that is poison. Pure: no I/O, no clock, no log.

All that was in flight at a death is suspected, and restored alone the next time. What began last is the
likeliest cause: it alone is convicted, at its second death.

A machine that goes down is another matter. Power fails several times in a row, and what was desired must be
served after it. So only what was in flight MACHINE_DEATHS times in a row, and never came to its end in
between, is convicted: a start that takes the machine down each time, where something boots it again.
"""

from collections.abc import Sequence
from dataclasses import replace

from daemon.state.records import Work

DAEMON_DEATHS = 2
MACHINE_DEATHS = 5


def after_death(works: Sequence[Work], boot_id: str | None) -> tuple[Work, ...]:
    """``works`` of the previous daemon, in the order in which they began, as they are judged in the boot
    ``boot_id``. None of them runs any more. An unknown boot is equal to itself alone."""
    running = [work for work in works if work.running]
    last = running[-1].key if running else None
    return tuple(_judged(work, boot_id, is_last=work.key == last) for work in works)


def _judged(work: Work, boot_id: str | None, *, is_last: bool) -> Work:
    if not work.running:
        return work
    if work.boot_id == boot_id:
        work = replace(work, deaths=work.deaths + 1)
    else:
        work = replace(work, reboots=work.reboots + 1)
    convicted = is_last and (work.deaths >= DAEMON_DEATHS or work.reboots >= MACHINE_DEATHS)
    return replace(work, running=False, poison=work.poison or convicted)


def reason(work: Work) -> str:
    """``"the daemon died twice while it was planning tiny"``."""
    what = f"while it was {work.doing}"
    if work.deaths >= DAEMON_DEATHS or not work.reboots:
        return f"the daemon died {_times(work.deaths)} {what}"
    return f"the machine went down {_times(work.reboots)} without a shutdown {what}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
