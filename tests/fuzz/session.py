"""A run of one target: takes its inputs, keeps what is wrong with them, and reports at the end."""

import hashlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.scratch import remove_all
from tests.fuzz.target import Target
from tests.fuzz.watch import Finding, Watch

PROGRESS_INPUTS = 10_000  # between lines of the log


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, until ``inputs`` or ``seconds``, imports included; 0 is no limit. With a ``seed`` the
    inputs follow from it alone; ``None``: they are guided by coverage."""

    name: str
    seed: int | None
    inputs: int
    seconds: float
    folder: Path

    @property
    def found(self) -> Path:
        return self.folder / "findings" / self.name


@dataclass(slots=True)
class Session:
    order: Order
    watch: Watch
    began_s: float
    seen: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, order: Order, target: Target, began_s: float) -> "Session":
        watch = Watch(target)
        watch.arm()
        return cls(order, watch, began_s)

    def run(self, data: bytes) -> None:
        """Exits at the end, with the status 1 where something was found."""
        finding = self.watch.run(data)
        if finding is not None and finding.key not in self.seen:
            self.seen[finding.key] = finding.what
            self._keep(finding, data)
        if self.watch.inputs % PROGRESS_INPUTS == 0:
            print(self._figures(), file=sys.stderr, flush=True)
        if self.watch.inputs == self.order.inputs or self._is_late():
            (self.order.folder / f"slowest-{self.order.name}").write_bytes(self.watch.worst_input)
            print(self._figures(), flush=True)
            remove_all()
            os._exit(1 if self.seen else 0)

    def _is_late(self) -> bool:
        limit_s = self.order.seconds
        return limit_s > 0 and self.watch.inputs % 16 == 0 and time.monotonic() - self.began_s > limit_s

    def _keep(self, finding: Finding, data: bytes) -> None:
        self.order.found.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(data).hexdigest()[:8]
        path = self.order.found / f"{finding.key.partition(' ')[0].lower()}-{digest}"
        path.write_bytes(data)
        print(f"{self.order.name}: {finding.key}: {finding.what}\n    {path}", flush=True)

    def _figures(self) -> str:
        order, watch, took_s = self.order, self.watch, time.monotonic() - self.began_s
        return (
            f"{order.name}: {watch.inputs} inputs in {took_s:.0f} s ({watch.inputs / took_s:.0f}/s), "
            f"{watch.refused} refused, {len(self.seen)} kinds of faults; "
            f"worst {watch.worst_cpu_ms:.0f} ms of CPU, {watch.worst_memory_mib:.0f} MiB; "
            f"{'guided by coverage' if order.seed is None else f'seed {order.seed}'}"
        )
