"""Kinds of events: stored by their values, each with a level."""

import pickle

from domain.events import EventKind, Level, level_of


def test_a_kind_is_its_value_and_has_a_level():
    assert (str(EventKind.FAILED), EventKind.FAILED == "failed") == ("failed", True)
    assert EventKind("failed") is pickle.loads(pickle.dumps(EventKind.FAILED)) is EventKind.FAILED  # noqa: S301
    assert [level_of(kind) for kind in ("failed", "died", "ready")] == [
        Level.ERROR,
        Level.WARNING,
        Level.INFO,
    ]


def test_a_kind_of_another_version_is_information():
    assert level_of("from_the_future") is Level.INFO


def test_levels_have_an_order():
    assert sorted(Level, key=lambda level: level.rank) == [Level.INFO, Level.WARNING, Level.ERROR]
