"""From the bytes of a download to its rate and the time left."""

import time

from domain.download import DownloadProgress
from domain.launches.launch import Progress, Step
from domain.units import gib

REPORT_EVERY_S = 0.25
RATE_OVER_S = 5.0


class TransferRate:
    """The rate over the last RATE_OVER_S seconds, as progress that is reported four times a second."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []
        self._reported_s: float | None = None
        self._waiting: str | None = None

    def progress(self, step: DownloadProgress, now_s: float) -> Progress | None:
        """None for what comes too soon after the last one, unless it is complete, or waits for something
        else. ``now_s`` by the monotonic clock."""
        if self._samples and step.bytes_done < self._samples[-1][1]:
            self._samples = []  # it begins again, as the file that is unpacked from a wheel
        self._samples = [sample for sample in self._samples if now_s - sample[0] <= RATE_OVER_S]
        self._samples.append((now_s, step.bytes_done))
        if not self._is_due(step, now_s):
            return None
        self._reported_s, self._waiting = now_s, step.waiting
        rate = None if step.waiting else self._rate()
        left_bytes = None if step.bytes_total is None else step.bytes_total - step.bytes_done
        return Progress(
            Step.DOWNLOAD,
            f"{gib(step.bytes_done)} of {gib(step.bytes_total)}",
            time.time(),
            bytes_done=step.bytes_done,
            bytes_total=step.bytes_total,
            rate_bytes_per_s=rate,
            eta_s=left_bytes / rate if rate and left_bytes is not None else None,
            waiting=step.waiting,
        )

    def _is_due(self, step: DownloadProgress, now_s: float) -> bool:
        if step.bytes_done == step.bytes_total or step.waiting != self._waiting:
            return True
        return self._reported_s is None or now_s - self._reported_s >= REPORT_EVERY_S

    def _rate(self) -> float | None:
        (begin_s, begin_bytes), (end_s, end_bytes) = self._samples[0], self._samples[-1]
        return (end_bytes - begin_bytes) / (end_s - begin_s) if end_s > begin_s else None
