"""Progress of a launch or a pull as plain lines; ``live_progress`` draws it on a terminal."""

import json
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self, TextIO

from ctl.show.formatting import decode
from ctl.terminal import console, is_terminal
from domain.launches.launch import LAST_STEPS, Progress, Step
from domain.units import duration, gib

# In a pipe, a download prints a line for each tenth, or every few seconds.
PLAIN_EVERY_S = 5.0


class ProgressView(Protocol):
    """Shows steps while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, progress: Progress) -> None:
        """Shows one line of progress."""


def follow(lines: Iterable[str], view: ProgressView) -> Progress | None:
    """Shows every line; the last one, or ``None`` where the stream ended before it."""
    for line in lines:
        progress = decode(Progress, json.loads(line))
        view.add(progress)
        if progress.step in LAST_STEPS:
            return progress
    return None


class PlainView:
    """One line for each step, and a few for a download."""

    def __init__(self, to: TextIO | None = None, *, head: str = "") -> None:
        self._to = to or sys.stdout
        self._head = head
        self._last: tuple[Step, str] | None = None
        self._tenth = 0
        self._shown_at = 0.0
        self._waits = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Printed lines stay."""

    def add(self, progress: Progress) -> None:
        if progress.step is Step.FAILED:  # printed once, as the command's error
            return
        if progress.bytes_done is not None:
            if not self._is_due(progress):
                return
        elif (progress.step, progress.message) == self._last:
            return
        self._last = (progress.step, progress.message)
        text = progress.message if progress.bytes_done is None else format_transfer(progress)
        print(f"{self._head}{progress.step:<9} {text}", file=self._to, flush=True)

    def _is_due(self, progress: Progress) -> bool:
        """Whether enough bytes or time passed since the last line of this download."""
        now = time.monotonic()
        tenth = 10 * (progress.bytes_done or 0) // progress.bytes_total if progress.bytes_total else 0
        first = self._last is None or self._last[0] is not progress.step
        waits = progress.waiting is not None
        if not (
            first or waits != self._waits or tenth > self._tenth or now - self._shown_at >= PLAIN_EVERY_S
        ):
            return False
        self._tenth, self._shown_at, self._waits = tenth, now, waits
        return True


def format_transfer(progress: Progress) -> str:
    """``1.2 GiB of 4.0 GiB (30 %), 80.0 MB/s, 35.0 s left``; unknown parts are left out."""
    done, total = progress.bytes_done, progress.bytes_total
    text = gib(done)
    if done is not None and total:
        text += f" of {gib(total)} ({100 * done // total} %)"
    if progress.rate_bytes_per_s:
        text += f", {progress.rate_bytes_per_s / 1e6:.1f} MB/s"
    if progress.waiting:
        text += f", waiting: {progress.waiting}"
    if progress.eta_s:
        text += f", {duration(progress.eta_s)} left"
    return text


def choose_view(*, as_json: bool) -> ProgressView:
    """With --json on standard error, because standard output is for the answer."""
    if as_json:
        return PlainView(to=sys.stderr)
    if not is_terminal():
        return PlainView()
    from ctl.show.live_progress import LiveView  # noqa: PLC0415 - rich is only for terminals

    return LiveView(console())
