"""Whether a launch that failed is tried again, and when. Pure: no I/O, no clock, no log."""

from dataclasses import dataclass

from config.settings import Settings
from domain.errors import BadModelError, EngineRefusedError, NodeError, UnknownModelError, UsageError

# Errors that another try does not fix: an unknown name, a file that is no model or none for an engine here,
# contradictory options
PERMANENT = (UnknownModelError, BadModelError, EngineRefusedError, UsageError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits double from ``first_s`` up to ``longest_s``. After ``loop_failures`` in a row a launch is shown
    as failed, and still tried again."""

    first_s: float
    longest_s: float
    loop_failures: int

    @classmethod
    def of(cls, settings: Settings) -> "RetryPolicy":
        return cls(settings.restart_delay_s, settings.restart_delay_max_s, settings.restart_loop)


@dataclass(frozen=True, slots=True)
class Retry:
    wait_s: float
    loops: bool


def next_try(
    error: NodeError, policy: RetryPolicy, *, failures: int, attended: bool, planned: bool
) -> Retry | None:
    """The next try after ``failures`` in a row, this one counted; ``None`` to give up.

    A launch is ``attended`` until it has served for the first time in the daemon that accepted it: its owner
    is there and reads the error, which ends it. Later, or after a restart of the daemon, nobody reads it:
    then it is given up only if it was never ``planned`` and the error is permanent.
    """
    if attended or (not planned and isinstance(error, PERMANENT)):
        return None
    return Retry(wait_s(policy, failures), loops=failures >= policy.loop_failures)


def wait_s(policy: RetryPolicy, failures: int) -> float:
    """1 failure -> first, 2 -> twice that, ... -> longest."""
    return min(policy.longest_s, policy.first_s * 2.0 ** min(failures - 1, 30))
