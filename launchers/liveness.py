"""One look at an engine that serves: whether it answers, what it has counted, and what its processes do.

No look decides anything: an engine that is busy may leave each of these open for a while.
"""

import asyncio
import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from launchers import pooled_answers, readiness
from launchers.answer_stream import Reply
from launchers.command import Command
from launchers.process import logfile, procfs
from launchers.readiness import COUNTERS, Ready

LOOK_S = 2.0  # for each of the two answers of a look
WORKING_SHARE = 0.05  # of one CPU: what answers health checks alone takes less
# Requests that are computed or wait: metrics of llama-server b10434 and of vLLM 0.32 (tests/captures).
OPEN_REQUESTS = re.compile(
    r"^(?:llamacpp:requests_(?:processing|deferred)|vllm:num_requests_(?:running|waiting))"
    r"(?:\{[^}\n]*\})? ([0-9.e+]{1,20})$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Activity:
    """``open_requests`` are computed or wait in its queue. ``counters`` change whenever tokens move."""

    open_requests: int
    counters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """``answers``: its health path said OK in time. ``activity`` is ``None`` where it did not say; it is
    ``silent`` where an answer did not come in time: it computes a long batch, or hangs. ``work`` is what
    its processes have done so far."""

    answers: bool
    silent: bool
    activity: Activity | None
    work: procfs.Work
    log_bytes: int

    def moved_since(self, before: "Look") -> bool:
        """Whether tokens moved."""
        if self.activity is None or before.activity is None:
            return False
        return self.activity.counters != before.activity.counters

    def worked_since(self, before: "Look", elapsed_s: float) -> bool:
        """Whether its processes computed, or waited for pages, all stopped ones excepted."""
        computed = self.work.cpu_s - before.work.cpu_s >= WORKING_SHARE * elapsed_s > 0
        return not self.work.stopped and (computed or self.work.major_faults > before.work.major_faults)


async def look(command: Command, pid: int, log_path: Path) -> Look:
    async with readiness.client(command) as http:
        answers, silent, activity = await _ask(http, command.health_path)
    work = await asyncio.to_thread(procfs.work, pid)
    return Look(answers, silent, activity, work, await asyncio.to_thread(logfile.size_bytes, log_path))


async def canary(
    command: Command, *, tokens: int | None, expect: str | None, slot: int | None = None
) -> Ready:
    """One short request: of ``tokens`` tokens that need only come, or the known question with its check.

    Raises: EngineError for an answer that is missing or wrong."""
    async with readiness.client(command) as http:
        if command.kind.is_pooled:
            return await pooled_answers.check(http, command)
        if tokens is None:
            return await readiness.known_answer(http, command, expect=expect, slot=slot)
        reply = await readiness.short_answer(http, command, tokens=tokens, slot=slot)
        return _as_ready(reply)


def _as_ready(reply: Reply) -> Ready:
    return Ready(reply.text.strip(), prompt_tokens=reply.prompt_tokens)


async def _ask(http: httpx.AsyncClient, health_path: str) -> tuple[bool, bool, Activity | None]:
    try:
        async with asyncio.timeout(LOOK_S):
            healthy = (await http.get(health_path, timeout=LOOK_S)).status_code == httpx.codes.OK
    except (httpx.TimeoutException, TimeoutError):
        return False, True, None
    except httpx.HTTPError:
        return False, False, None
    if not healthy:
        return False, False, None
    try:
        async with asyncio.timeout(LOOK_S):
            return True, False, await _activity(http)
    except TimeoutError:
        return True, True, None


async def _activity(http: httpx.AsyncClient) -> Activity | None:
    """By its metrics, else by its slots, which forks of llama.cpp have, too."""
    with contextlib.suppress(httpx.HTTPError, ValueError):
        text = (await readiness.read_body(http, "/metrics")).decode(errors="replace")
        if (found := parse_metrics(text)) is not None:
            return found
    with contextlib.suppress(httpx.HTTPError, ValueError, TypeError, AttributeError, RecursionError):
        return parse_slots(await readiness.read_body(http, "/slots"))
    return None


def parse_metrics(text: str) -> Activity | None:
    """``None`` where it has none of those that tell of requests."""
    counts = [float(match[1]) for match in OPEN_REQUESTS.finditer(text)]
    counters = tuple(line for line in text.splitlines() if line.startswith(COUNTERS) and "_total" in line)
    return Activity(int(sum(counts)), counters) if counts else None


def parse_slots(body: bytes) -> Activity:
    """Raises: ValueError, TypeError, AttributeError for what is no list of slots."""
    busy = sum(bool(slot.get("is_processing")) for slot in json.loads(body))
    return Activity(busy, (hashlib.sha256(body).hexdigest(),))
