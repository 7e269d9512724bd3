"""Whether a launch that failed is tried again, and when."""

import pytest

from daemon.launches.retry import Retry, RetryPolicy, next_try, wait_s
from domain.errors import (
    BadModelError,
    DoesNotFitError,
    DownloadError,
    EngineError,
    NodeError,
    UnknownModelError,
    UsageError,
)

POLICY = RetryPolicy(first_s=1.0, longest_s=300.0, loop_failures=5)
PERMANENT = (UnknownModelError("x"), BadModelError("x"), UsageError("x"))
PASSING = (DownloadError("x"), EngineError("x"), DoesNotFitError("x", needs_bytes=2, has_bytes=1))


@pytest.mark.parametrize("error", [*PERMANENT, *PASSING])
def test_who_watches_is_told_at_once(error: NodeError) -> None:
    assert next_try(error, POLICY, failures=1, attended=True, planned=True) is None
    assert next_try(error, POLICY, failures=1, attended=True, planned=False) is None


@pytest.mark.parametrize("error", [*PERMANENT, *PASSING])
def test_what_once_had_a_plan_is_never_given_up(error: NodeError) -> None:
    assert next_try(error, POLICY, failures=900, attended=False, planned=True) == Retry(300.0, loops=True)


def test_without_a_plan_only_what_may_heal_is_tried_again() -> None:
    for error in PERMANENT:
        assert next_try(error, POLICY, failures=1, attended=False, planned=False) is None
    for other in PASSING:
        assert next_try(other, POLICY, failures=1, attended=False, planned=False) == Retry(1.0, loops=False)


@pytest.mark.parametrize(("failures", "loops"), [(4, False), (5, True), (6, True)])
def test_from_the_fifth_failure_in_a_row_on_it_is_shown_as_failed(failures: int, loops: bool) -> None:
    found = next_try(PASSING[0], POLICY, failures=failures, attended=False, planned=True)
    assert found is not None
    assert found.loops is loops


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (5000, 300.0)]
)
def test_waits_double_up_to_the_longest(failures: int, seconds: float) -> None:
    assert wait_s(POLICY, failures) == seconds
