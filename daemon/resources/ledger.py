"""Memory that launches have reserved: bytes per device that a reading of free memory does not show as used.

A launch in flight holds its whole plan. A serving one holds what it has not touched: weights that are
mapped and not locked count as available RAM, and are needed all the same. While an engine allocates, its
bytes can count twice for seconds: a second launch may then be refused, never let in wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.hardware import Hardware
from domain.plan import HOST, Plan


@dataclass(frozen=True, slots=True)
class Reservations:
    """What was reserved when a look at the machine began. ``settled`` counts the reservations that had become
    real use by then: what is settled after the look, the look does not show."""

    device_bytes: Mapping[str, int]
    settled: int


@dataclass(slots=True)
class Ledger:
    """Belongs to the event loop: no method waits, so none is met by another."""

    reserved: dict[str, dict[str, int]] = field(default_factory=dict)
    _settled: int = 0

    def reservations_beside(self, name: str) -> Reservations:
        """Those of all launches but ``name``."""
        return Reservations(self._beside(name), self._settled)

    def admit(self, name: str, plan: Plan, seen: Reservations) -> bool:
        """Reserves the memory of ``plan``, made for the machine with ``seen`` taken off. False, with nothing
        reserved, where others have reserved more since, or use memory that the look does not show."""
        now = self._beside(name)
        grown = any(count_bytes > seen.device_bytes.get(device, 0) for device, count_bytes in now.items())
        if grown or self._settled != seen.settled:
            return False
        self.reserve(name, plan)
        return True

    def reserve(self, name: str, plan: Plan) -> None:
        self.reserved[name] = {device.device: device.needed_bytes for device in plan.memory}

    def settle(self, name: str, host_held_bytes: int) -> None:
        """``name`` serves: devices show its bytes themselves, the host shows ``host_held_bytes``."""
        host_bytes = self.reserved.get(name, {}).get(HOST, 0)
        self.reserved[name] = {HOST: max(0, host_bytes - host_held_bytes)}
        self._settled += 1

    def release(self, name: str) -> None:
        self.reserved.pop(name, None)

    def _beside(self, name: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for holder, devices in self.reserved.items():
            if holder != name:
                for device, count_bytes in devices.items():
                    total[device] = total.get(device, 0) + count_bytes
        return total


def without(hardware: Hardware, reserved: Mapping[str, int]) -> Hardware:
    """``hardware`` with less free memory. What is not known stays not known."""
    host_bytes = reserved.get(HOST, 0)
    memory = replace(
        hardware.memory,
        available_bytes=_less(hardware.memory.available_bytes, host_bytes),
        cgroup_available_bytes=_less(hardware.memory.cgroup_available_bytes, host_bytes),
    )
    gpus = tuple(
        replace(gpu, memory_free_bytes=_less(gpu.memory_free_bytes, reserved.get(f"GPU{index}", 0)))
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


def _less(count_bytes: int | None, taken_bytes: int) -> int | None:
    return None if count_bytes is None else max(0, count_bytes - taken_bytes)
