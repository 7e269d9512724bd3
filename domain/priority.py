"""Classes of requests: whose turn comes first at a busy engine."""

from collections.abc import Iterable
from enum import StrEnum


class Priority(StrEnum):
    """The first goes before the others."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"
    BATCH = "batch"


def lowest(priorities: Iterable[Priority]) -> Priority:
    """Of several that a request is given: a header can't raise what a key allows."""
    return max(priorities, key=list(Priority).index)
