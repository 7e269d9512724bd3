"""From bytes to a rate and a time left."""

import time

from domain.download import DownloadProgress
from domain.launch import Progress, Step
from domain.units import gib

TELL_EVERY_S = 0.25
RATE_OVER_S = 5.0


class TransferRate:
    """A line a quarter of a second, and one at the end."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []
        self._told_s: float | None = None

    def line(self, state: DownloadProgress, at_s: float) -> Progress | None:
        self._marks = [mark for mark in self._marks if at_s - mark[0] <= RATE_OVER_S]
        self._marks.append((at_s, state.bytes_done))
        complete = state.bytes_done == state.bytes_total
        if not complete and self._told_s is not None and at_s - self._told_s < TELL_EVERY_S:
            return None
        self._told_s = at_s
        rate = None if state.waiting else self._rate()
        left_bytes = None if state.bytes_total is None else state.bytes_total - state.bytes_done
        return Progress(
            Step.DOWNLOAD,
            f"{gib(state.bytes_done)} of {gib(state.bytes_total)}",
            time.time(),
            bytes_done=state.bytes_done,
            bytes_total=state.bytes_total,
            rate_bytes_per_s=rate,
            eta_s=left_bytes / rate if rate and left_bytes is not None else None,
            waiting=state.waiting,
        )

    def _rate(self) -> float | None:
        (begin_s, begin), (end_s, end) = self._marks[0], self._marks[-1]
        return (end - begin) / (end_s - begin_s) if end_s > begin_s else None
