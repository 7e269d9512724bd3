"""Keeps a source that breaks in a way nobody foresaw from hiding the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from domain.hardware import Problem

log = logging.getLogger(__name__)

T = TypeVar("T")


class Isolation:
    """Runs readers; what breaks becomes a problem, and its value the one for "unknown"."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def run(self, source: str, read: Callable[[], T], unknown: T) -> T:
        try:
            return read()
        except Exception as error:  # whatever it was: the other sources are read all the same
            log.exception("probe failed: source=%s", source)
            what = f"the probe broke: {error!r}"
            self.problems.append(
                Problem(source, what, "the log has the traceback; it is a bug worth a report")
            )
            return unknown
