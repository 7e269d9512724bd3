"""Reports GPUs and NPUs that were added, removed or changed between two snapshots, and affected launches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from daemon.app import App
from domain.events import EventKind
from domain.launches.plan import Plan
from domain.machine.hardware import Gpu, Hardware, Npu
from domain.units import gib

DEVICES = "devices"  # the key under which the devices of the last snapshot are stored


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """``kind`` is that of the event."""

    kind: EventKind
    device_id: str
    message: str


async def report_changes(app: App, before: Hardware | None, after: Hardware) -> bool:
    """Writes an event for each change, and another one for each launch that has memory on the device. The
    first snapshot of a daemon is compared with the last one of the daemon before. Returns whether there was a
    change."""
    previous = before or await _load_devices(app)
    changes = tuple(compare_devices(previous, after)) if previous else ()
    for change in changes:
        await app.events.append(change.kind, change.message)
        for launch in list(app.launches.values()):
            if launch.plan is None or launch.process is None or previous is None:
                continue
            used_bytes = planned_bytes(launch.plan, launch.gpu_ids, previous, change.device_id)
            if used_bytes:
                message = f"{change.message}; it has {gib(used_bytes)} there"
                await app.events.append(change.kind, message, launch=launch.name)
    if changes or previous is None:
        await _save_devices(app, after)
    return bool(changes)


def compare_devices(before: Hardware, after: Hardware) -> Iterator[DeviceChange]:
    """Devices are matched by id. A value that is unknown on one side is no change, nor is any of a GPU that
    sleeps on one side."""
    old, new = _by_id(before), _by_id(after)
    for device_id in sorted(old.keys() - new.keys()):
        slot = device_id.removeprefix("pci:")
        reason = next((problem.what for problem in after.problems if slot in problem.what), "")
        message = f"{_label(old[device_id])} is gone{f': {reason}' if reason else ''}"
        yield DeviceChange(EventKind.DEVICE_GONE, device_id, message)
    for device_id in sorted(new.keys() - old.keys()):
        yield DeviceChange(EventKind.DEVICE_CAME, device_id, f"{_label(new[device_id])} was added")
    for device_id in sorted(old.keys() & new.keys()):
        values = ", ".join(_changed_values(old[device_id], new[device_id]))
        if values:
            yield DeviceChange(EventKind.DEVICE_CHANGED, device_id, f"{_label(new[device_id])}: {values}")


def _by_id(hardware: Hardware) -> dict[str, Gpu | Npu]:
    devices: tuple[Gpu | Npu, ...] = (*hardware.gpus, *hardware.set_aside, *hardware.npus)
    return {device.id: device for device in devices}


def _changed_values(old: Gpu | Npu, new: Gpu | Npu) -> Iterator[str]:
    values: list[tuple[str, str | None, str | None]] = [
        ("name", old.name, new.name),
        ("driver", old.driver, new.driver),
    ]
    if isinstance(old, Gpu) and isinstance(new, Gpu):
        if old.asleep or new.asleep:  # the values of a sleeping GPU come from the device table
            return
        values += [("memory", _memory(old), _memory(new)), ("display", _display(old), _display(new))]
    for name, old_value, new_value in values:
        if old_value is not None and new_value is not None and old_value != new_value:
            yield f"{name} {new_value} (was {old_value})"


def _memory(gpu: Gpu) -> str | None:
    return None if gpu.memory_total_bytes is None else gib(gpu.memory_total_bytes)


def _display(gpu: Gpu) -> str | None:
    return None if gpu.display_attached is None else ("attached" if gpu.display_attached else "none")


def planned_bytes(plan: Plan, gpu_ids: Sequence[str], previous: Hardware, device_id: str) -> int:
    """What the plan of a running launch has on a GPU. A plan numbers the GPUs of the time when it was made,
    ``gpu_ids``; an engine that was adopted is taken to use those of the ``previous`` snapshot."""
    gpu_ids = gpu_ids or tuple(gpu.id for gpu in previous.gpus)
    names = {f"GPU{index}" for index, gpu_id in enumerate(gpu_ids) if gpu_id == device_id}
    return sum(row.needed_bytes for row in plan.memory if row.device in names)


def _label(device: Gpu | Npu) -> str:
    return f"{device.name} ({device.id})"


async def _load_devices(app: App) -> Hardware | None:
    return await app.store.recall(Hardware, DEVICES)


async def _save_devices(app: App, hardware: Hardware) -> None:
    devices = Hardware(gpus=hardware.gpus, set_aside=hardware.set_aside, npus=hardware.npus)
    await app.store.record(DEVICES, devices)
