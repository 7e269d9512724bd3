"""Asks a source; one that breaks in a way nobody foresaw hides no other."""

import logging
from collections.abc import Callable
from typing import TypeVar

from domain.hardware import Problem

log = logging.getLogger(__name__)

T = TypeVar("T")


class Guard:
    """What broke is a problem and its value is unknown."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __call__(self, source: str, call: Callable[[], T], unknown: T) -> T:
        try:
            return call()
        except Exception as error:  # whatever it was: the other sources are asked all the same
            log.exception("probe failed: source=%s", source)
            what = f"the probe broke: {error!r}"
            self.problems.append(
                Problem(source, what, "the log has the traceback; it is a bug worth a report")
            )
            return unknown
