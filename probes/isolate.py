"""Keeps an unexpected failure of one source from hiding the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from domain.machine.hardware import Problem

log = logging.getLogger(__name__)

T = TypeVar("T")


class Isolation:
    """Runs readers. An exception becomes a problem, and the value is the one that stands for unknown."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def run(self, source: str, read: Callable[[], T], unknown: T) -> T:
        try:
            return read()
        except Exception as error:  # a bug in one probe must not cost the readings of the others
            log.exception("probe failed: source=%s", source)
            what = f"the probe failed: {error!r}"
            hint = "this is a bug; the daemon's log has the traceback for a report"
            self.problems.append(Problem(source, what, hint))
            return unknown
