"""The schedules, what of them runs, and whether downloads may: what the daemon knows of it while it runs."""

import asyncio
from dataclasses import dataclass, field

from daemon.state.records import ScheduleRecord


@dataclass(slots=True)
class ScheduleState:
    """``records`` and ``running`` by the id of a schedule. ``downloads_wait`` says for what they wait."""

    records: dict[int, ScheduleRecord] = field(default_factory=dict)
    running: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    downloads_wait: str | None = None
