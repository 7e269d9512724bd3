"""Who was promised which memory: bytes per device that a free-memory reading does not show as taken yet.

A launch in flight holds its whole plan. A serving one holds what it has not touched: weights that are
mapped and not locked count as available RAM, and are needed all the same. While an engine allocates, its
bytes can count twice for seconds: a second launch may then be refused, never let in wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from domain.hardware import Hardware
from domain.plan import HOST, Plan


@dataclass(slots=True)
class Ledger:
    promised: dict[str, dict[str, int]] = field(default_factory=dict)

    def reserve(self, name: str, plan: Plan) -> None:
        self.promised[name] = {device.device: device.needed_bytes for device in plan.memory}

    def settle(self, name: str, host_held_bytes: int) -> None:
        """``name`` serves: devices show its bytes themselves, the host shows ``host_held_bytes``."""
        host_bytes = self.promised.get(name, {}).get(HOST, 0)
        self.promised[name] = {HOST: max(0, host_bytes - host_held_bytes)}

    def release(self, name: str) -> None:
        self.promised.pop(name, None)

    def others(self, name: str) -> dict[str, int]:
        """Bytes per device promised to all but ``name``."""
        total: dict[str, int] = {}
        for holder, devices in self.promised.items():
            if holder != name:
                for device, count_bytes in devices.items():
                    total[device] = total.get(device, 0) + count_bytes
        return total


def without(hardware: Hardware, promised: Mapping[str, int]) -> Hardware:
    """``hardware`` with less free memory. What is not known stays not known."""
    host_bytes = promised.get(HOST, 0)
    memory = replace(
        hardware.memory,
        available_bytes=_less(hardware.memory.available_bytes, host_bytes),
        cgroup_available_bytes=_less(hardware.memory.cgroup_available_bytes, host_bytes),
    )
    gpus = tuple(
        replace(gpu, memory_free_bytes=_less(gpu.memory_free_bytes, promised.get(f"GPU{index}", 0)))
        for index, gpu in enumerate(hardware.gpus)
    )
    return replace(hardware, memory=memory, gpus=gpus)


def free_bytes(hardware: Hardware, device: str) -> int | None:
    """What ``device`` of a plan has free; the host's tighter figure where a cgroup limits it."""
    if device == HOST:
        known = [
            count_bytes
            for count_bytes in (hardware.memory.available_bytes, hardware.memory.cgroup_available_bytes)
            if count_bytes is not None
        ]
        return min(known, default=None)
    index = device.removeprefix("GPU")
    if not index.isdigit() or int(index) >= len(hardware.gpus):
        return None
    return hardware.gpus[int(index)].memory_free_bytes


def host_held_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """RAM of a process and its children that MemAvailable no longer counts: private, shared, locked.

    Source: proc_pid_status(5) RssAnon, RssShmem, VmLck. A process that is gone holds nothing.
    """
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
        children = (proc / str(pid) / "task" / str(pid) / "children").read_text().split()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    own = {key: _kib(fields.get(key)) for key in ("RssAnon", "RssShmem", "RssFile", "VmLck")}
    locked_file = min(own["RssFile"], own["VmLck"])
    held = own["RssAnon"] + own["RssShmem"] + locked_file
    return held + sum(host_held_bytes(int(child), proc) for child in children)


def _kib(value: str | None) -> int:
    return int(value.split()[0]) * 1024 if value else 0


def _less(count_bytes: int | None, taken_bytes: int) -> int | None:
    return None if count_bytes is None else max(0, count_bytes - taken_bytes)
