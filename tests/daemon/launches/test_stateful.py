"""Starts, stops, crashes and the daemon's death, met at any await: hypothesis drives the real supervisor.

Its engines are those of ``world.py``, its store is the real one. ``STATEFUL_EXAMPLES`` sets how
many runs are made; the figures of a long one are in docs/architecture.md.
"""

import os

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.daemon.launches.daemons import COUNTED, Daemons
from tests.daemon.launches.plans import plan_always

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))  # 0: the same sixty runs each time


def test_whatever_meets_no_launch_is_lost_and_no_engine_is_left(
    monkeypatch: pytest.MonkeyPatch, no_blocking_calls_on_the_event_loop: BlockBuster
) -> None:
    no_blocking_calls_on_the_event_loop.deactivate()  # threads are played by the loop itself
    plan_always(monkeypatch, after_s=0.2)
    run_state_machine_as_test(
        Daemons,
        settings=settings(
            max_examples=EXAMPLES or 60,
            derandomize=not EXAMPLES,
            database=None,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(dict(COUNTED))
