"""Weights on this disk: fetched in a thread, told as they come, cancelled between two chunks."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from daemon.live import Live
from daemon.node import Node
from domain.download import Fetched, Terms
from domain.errors import DownloadError
from domain.launch import LaunchState, Progress, Step
from domain.model import Weights
from domain.plan import Plan
from domain.redact import without_secrets
from domain.units import gib

TELL_EVERY_S = 0.25
RATE_OVER_S = 5.0


async def fetched(node: Node, live: Live, plan: Plan) -> Plan:
    """``plan`` with weights that have a location. Raises: DownloadError, DiskFullError."""
    if plan.weights.location is not None:
        live.reused = (*live.reused, "the weights on disk")
        return plan
    if node.settings.offline:
        raise DownloadError(
            f"{without_secrets(plan.weights.repo)} is not on this disk, and offline is set",
            hint="set offline to false to fetch it",
        )
    live.become(LaunchState.DOWNLOADING)
    live.say(
        Step.DOWNLOAD,
        f"fetching {without_secrets(plan.weights.repo)} {plan.weights.quant}, {gib(plan.weights.size_bytes)}",
    )
    loop, cancelled = asyncio.get_running_loop(), threading.Event()

    def tell(line: Progress) -> None:
        loop.call_soon_threadsafe(live.track.add, line)

    try:
        weights = await asyncio.to_thread(_pull, node, plan.weights, tell, cancelled)
    finally:
        cancelled.set()  # our thread can't be cancelled: it looks at this between two chunks
    return replace(plan, weights=weights)


def _pull(
    node: Node, weights: Weights, tell: Callable[[Progress], None], cancelled: threading.Event
) -> Weights:
    meter = Meter()
    last: Fetched | None = None
    with closing(node.rooms.fetch(weights, node.settings.models_dir, Terms(), ())) as chunks:
        for last in chunks:
            if cancelled.is_set():
                break  # closed, it leaves what can be resumed
            line = meter.line(last, time.monotonic())
            if line is not None:
                tell(line)
    if last is None or last.weights is None:
        raise DownloadError(
            f"{without_secrets(weights.repo)}: the download was stopped", hint="launch it again to resume"
        )
    return last.weights


class Meter:
    """From bytes to a rate and a time left; a line a quarter of a second, and one at the end."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []
        self._told_s: float | None = None

    def line(self, state: Fetched, at_s: float) -> Progress | None:
        self._marks = [mark for mark in self._marks if at_s - mark[0] <= RATE_OVER_S]
        self._marks.append((at_s, state.bytes_done))
        complete = state.bytes_done == state.bytes_total
        if not complete and self._told_s is not None and at_s - self._told_s < TELL_EVERY_S:
            return None
        self._told_s = at_s
        rate = self._rate()
        left_bytes = None if state.bytes_total is None else state.bytes_total - state.bytes_done
        return Progress(
            Step.DOWNLOAD,
            f"{gib(state.bytes_done)} of {gib(state.bytes_total)}",
            time.time(),
            bytes_done=state.bytes_done,
            bytes_total=state.bytes_total,
            rate_bytes_per_s=rate,
            eta_s=left_bytes / rate if rate and left_bytes is not None else None,
        )

    def _rate(self) -> float | None:
        (begin_s, begin), (end_s, end) = self._marks[0], self._marks[-1]
        return (end - begin) / (end_s - begin_s) if end_s > begin_s else None
