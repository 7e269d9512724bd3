"""Which context is planned where an engine failed in a longer one."""

from dataclasses import replace

import pytest

from daemon.launches.proof.failure import merged
from daemon.planning.context_proofs import smaller_window, window_of
from domain.launches.proof import ContextProof

FAILED = ContextProof(
    "t", 131072, proven_tokens=32768, failed_tokens=49152, failure="died", window_tokens=65536
)
PROVEN = ContextProof("u", 65536, proven_tokens=40000)


@pytest.mark.parametrize(
    ("planned", "smaller"),
    [(131072, 65536), (122880, 65536), (65537, 65536), (65536, 32768), (1024, 512), (1023, 512), (512, None)],
)
def test_the_next_smaller_context_is_a_power_of_two(planned: int, smaller: int | None) -> None:
    assert smaller_window(planned) == smaller


def test_only_a_longer_context_than_the_one_that_is_left_is_shortened() -> None:
    assert window_of(FAILED, 131072) == 65536
    assert window_of(FAILED, 65536) is None
    assert window_of(FAILED, None) is None
    assert window_of(PROVEN, 131072) is None
    assert window_of(None, 131072) is None


def test_a_proof_that_stays_below_the_failure_does_not_end_its_limit() -> None:
    shallow = merged(PROVEN, FAILED)
    assert (shallow.window_tokens, shallow.failed_tokens, shallow.proven_tokens) == (65536, 49152, 40000)
    deep = merged(replace(PROVEN, proven_tokens=50000), FAILED)
    assert (deep.window_tokens, deep.failed_tokens, deep.failure) == (None, None, None)


def test_a_deeper_proof_is_not_forgotten_for_a_shallow_one() -> None:
    assert merged(replace(PROVEN, proven_tokens=512), PROVEN).proven_tokens == 40000
    assert merged(PROVEN, None) == PROVEN
