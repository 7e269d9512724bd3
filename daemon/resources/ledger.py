"""Memory that launches have reserved: bytes per device that a snapshot does not show as used.

A launch that starts reserves its whole plan. A serving one reserves what it has not touched yet: weights that
are mapped and not locked count as available RAM, and are needed all the same. While an engine allocates, its
bytes can count twice for seconds: a second launch may then be refused, but is never admitted wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.launches.plan import HOST, Plan
from domain.machine.hardware import Gpu, Hardware


@dataclass(frozen=True, slots=True)
class Reservations:
    """What was reserved when a snapshot began. ``settled`` counts the reservations that had become real use
    by then: the snapshot does not show what is settled after it."""

    device_bytes: Mapping[str, int]
    settled: int


@dataclass(slots=True)
class Ledger:
    """For the event loop only: no method awaits, so calls never interleave. ``returning``: the devices whose
    memory has not come back yet, by the launch that has ended."""

    reserved: dict[str, dict[str, int]] = field(default_factory=dict)
    returning: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _settled: int = 0

    def reservations_of_others(self, name: str) -> Reservations:
        """Those of all launches except ``name``."""
        return Reservations(self._of_others(name), self._settled)

    def admit(self, name: str, plan: Plan, then: Reservations) -> bool:
        """Reserves the memory of ``plan``, which was made for a snapshot less the reservations ``then``.
        False, with nothing reserved, if others have reserved more since, or use memory that the snapshot does
        not show."""
        now = self._of_others(name)
        grown = any(count_bytes > then.device_bytes.get(device, 0) for device, count_bytes in now.items())
        if grown or self._settled != then.settled:
            return False
        self.reserve(name, plan)
        return True

    def reserve(self, name: str, plan: Plan) -> None:
        self.reserved[name] = {device.device: device.needed_bytes for device in plan.memory}

    def settle(self, name: str, host_held_bytes: int) -> None:
        """``name`` serves: a snapshot shows all its bytes on devices, and ``host_held_bytes`` of those in
        RAM."""
        host_bytes = self.reserved.get(name, {}).get(HOST, 0)
        self.reserved[name] = {HOST: max(0, host_bytes - host_held_bytes)}
        self._settled += 1

    def release(self, name: str) -> None:
        self.reserved.pop(name, None)

    def _of_others(self, name: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for holder, devices in self.reserved.items():
            if holder != name:
                for device, count_bytes in devices.items():
                    total[device] = total.get(device, 0) + count_bytes
        return total


def without(hardware: Hardware, reserved: Mapping[str, int]) -> Hardware:
    """``hardware`` with less free memory. Unknown sizes stay unknown."""
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
    """The free memory of ``device``; for the host the lower of available RAM and the limit of a cgroup."""
    if device == HOST:
        known = [
            count_bytes
            for count_bytes in (hardware.memory.available_bytes, hardware.memory.cgroup_available_bytes)
            if count_bytes is not None
        ]
        return min(known, default=None)
    gpu = gpu_of(hardware, device)
    return None if gpu is None else gpu.memory_free_bytes


def gpu_of(hardware: Hardware, device: str) -> Gpu | None:
    """``GPU1`` of plans is the second one; ``None`` for the host, and for one that there is not any more."""
    index = device.removeprefix("GPU")
    return hardware.gpus[int(index)] if index.isdigit() and int(index) < len(hardware.gpus) else None


def _less(count_bytes: int | None, taken_bytes: int) -> int | None:
    return None if count_bytes is None else max(0, count_bytes - taken_bytes)
