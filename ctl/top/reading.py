"""What the screen shows, read from the daemon: launches, memory, hardware, events, the gateway's figures."""

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from ctl.client import Daemon
from ctl.show.formatting import decode
from ctl.show.launches import decode_rows
from domain.launches.launch import LaunchRow
from domain.machine.budget import DeviceBudget
from domain.machine.hardware import Hardware

EVENTS = 100  # more than a screen has lines
METRICS_TIMEOUT_S = 5.0
MOST_BYTES = 4 << 20
RATE_OVER_S = 60.0

Sample = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Samples of ``/metrics`` by their name, without ``node_daemon_``, and labels."""

    samples: Mapping[Sample, float] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of those that have these labels; ``None`` where there are none."""
        wanted = labels.items()
        found = [value for (other, has), value in self.samples.items() if other == name and wanted <= has]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True)
class Reading:
    """``figures`` is ``None`` where the gateway tells none. ``tokens_per_s``: what each model generated in
    the last minute, from the second reading on; an answer counts once it has ended."""

    status: Mapping[str, Any]
    rows: Sequence[LaunchRow]
    budgets: Sequence[DeviceBudget]
    hardware: Hardware
    events: Sequence[Mapping[str, Any]]
    figures: Figures | None = None
    tokens_per_s: Mapping[str, float] = field(default_factory=dict)


class Reader:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._counts: deque[tuple[float, dict[str, float]]] = deque()

    def read(self) -> Reading:
        """Blocks. Raises: NodeError."""
        get = self._daemon.get
        status = get("/v1/status")
        rows = decode_rows(get("/v1/launches"))
        budgets = [decode(DeviceBudget, item) for item in get("/v1/memory")]
        hardware = decode(Hardware, get("/v1/probe"))
        events = [json.loads(line) for line in self._daemon.lines(f"/v1/events?last={EVENTS}")]
        figures = read_figures(status["gateway"]) if status.get("gateway") else None
        rates = self._rates(rows, figures, time.monotonic())
        return Reading(status, rows, budgets, hardware, events, figures, rates)

    def _rates(self, rows: Sequence[LaunchRow], figures: Figures | None, now_s: float) -> dict[str, float]:
        if figures is None:
            return {}
        counts = {row.name: figures.total("generated_tokens_total", model=row.name) or 0.0 for row in rows}
        while len(self._counts) > 1 and self._counts[1][0] <= now_s - RATE_OVER_S:
            self._counts.popleft()
        then_s, before = self._counts[0] if self._counts else (now_s, {})
        self._counts.append((now_s, counts))
        if now_s == then_s:
            return {}
        return {
            name: max(0.0, count - before.get(name, 0.0)) / (now_s - then_s) for name, count in counts.items()
        }


def read_figures(gateway: str) -> Figures | None:
    """Those at this address; ``None`` where it does not answer or wants a key."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - of this command

    host = urlsplit(gateway)
    connection = HTTPConnection(host.hostname or "", host.port, timeout=METRICS_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        if answer.status != HTTPStatus.OK:
            return None
        families = text_string_to_metric_families(answer.read(MOST_BYTES).decode())
        samples = [sample for family in families for sample in family.samples]
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return Figures(
        {
            (sample.name.removeprefix("node_daemon_"), frozenset(sample.labels.items())): sample.value
            for sample in samples
        }
    )
