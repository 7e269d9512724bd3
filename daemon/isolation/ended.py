"""Why a worker ended without an answer, by what is known: limits, signals, counts of OOM kills."""

import os
import signal

from daemon.isolation.wire import Usage
from domain.errors import BadModelError, WorkerLostError
from domain.units import gib
from launchers.process import procfs

HINT = "no model of its kind needs that much; if an engine serves it, report it: node-ctl doctor --report"
CRASH_HINT = "the daemon's log may tell more; report it: node-ctl doctor --report"
TRY_AGAIN = "try again; if it happens again, the system's log may tell who ends processes of node-daemon"
# Sent by someone, or by the kernel for memory; all others come from what the worker itself did.
FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class WorkerLimitError(BadModelError):
    """A worker took more time or memory than it may, or crashed on what it read."""


def over(what: str, why: str, usage: Usage | None) -> WorkerLimitError:
    return WorkerLimitError(f"{what} was ended {why}{_used(usage)}", hint=HINT)


def died(what: str, usage: Usage, *, cpu_s: int, oom_kills: int) -> WorkerLimitError | WorkerLostError:
    """``oom_kills``: how many the kernel counted in the daemon's cgroup while the worker ran."""
    if usage.exit_code >= 0:
        message = f"{what} ended with status {usage.exit_code} and without an answer{_used(usage)}"
        return WorkerLimitError(message, hint=CRASH_HINT)
    number = -usage.exit_code
    if number == signal.SIGXCPU or (number == signal.SIGKILL and usage.cpu_s >= cpu_s):
        return over(what, f"after {cpu_s} s of CPU time", usage)
    name = _name(number)
    if number not in FROM_OUTSIDE:
        return WorkerLimitError(f"{what} crashed with {name}{_used(usage)}", hint=CRASH_HINT)
    if number == signal.SIGKILL and oom_kills > 0:
        return WorkerLostError(
            f"{what} was killed by the kernel, out of memory{_used(usage)}",
            hint="stop another model with node-ctl stop, or raise the memory limit of node-daemon",
        )
    return WorkerLostError(
        f"{what} was ended by {name} from outside{_used(usage)}",
        hint=TRY_AGAIN,
    )


def count_oom_kills() -> int:
    """Of the daemon's cgroup, in which its workers are; 0 where the kernel does not count. Blocks."""
    counter = procfs.oom_counter(os.getpid())
    return 0 if counter is None else procfs.oom_kills(counter) or 0


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _used(usage: Usage | None) -> str:
    return f" ({usage.cpu_s:.1f} s of CPU time, {gib(usage.peak_bytes)})" if usage else ""
