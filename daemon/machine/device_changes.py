"""Tells of GPUs and NPUs that came, went or changed between two looks, and which launches they concern."""

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.app import App
from daemon.launches.launch import Launch
from domain.hardware import Gpu, Hardware, Npu
from domain.units import gib

CAME, GONE, CHANGED = "device_came", "device_gone", "device_changed"
DEVICES = "devices"  # the fact: what the last daemon saw


@dataclass(frozen=True, slots=True)
class Difference:
    kind: str
    id: str
    words: str


async def report_changes(app: App, before: Hardware | None, after: Hardware) -> bool:
    """Writes an event for each difference, and one more for each launch that has memory there. A daemon
    that has just started compares with what the last one saw. Returns whether there was any."""
    last = before or await _remembered(app)
    found = tuple(differences(last, after)) if last else ()
    for one in found:
        await app.events.append(one.kind, one.words)
        for launch in list(app.launches.values()):
            held = held_bytes(launch, last, one.id)
            if held:
                await app.events.append(
                    one.kind, f"{one.words}; it has {gib(held)} there", launch=launch.name
                )
    if found or last is None:
        await _remember(app, after)
    return bool(found)


def differences(before: Hardware, after: Hardware) -> Iterator[Difference]:
    """By the device's id. What is unknown on one side, or was asleep, is no difference."""
    old, new = _by_id(before), _by_id(after)
    for gone in sorted(old.keys() - new.keys()):
        why = next((problem.what for problem in after.problems if _slot(gone) in problem.what), "")
        yield Difference(GONE, gone, f"{_named(old[gone])} is gone{f': {why}' if why else ''}")
    for came in sorted(new.keys() - old.keys()):
        yield Difference(CAME, came, f"{_named(new[came])} is here")
    for kept in sorted(old.keys() & new.keys()):
        words = ", ".join(_changes(old[kept], new[kept]))
        if words:
            yield Difference(CHANGED, kept, f"{_named(new[kept])}: {words}")


def _by_id(box: Hardware) -> dict[str, Gpu | Npu]:
    devices: tuple[Gpu | Npu, ...] = (*box.gpus, *box.set_aside, *box.npus)
    return {one.id: one for one in devices}


def _changes(old: Gpu | Npu, new: Gpu | Npu) -> Iterator[str]:
    pairs: list[tuple[str, str | None, str | None]] = [
        ("name", old.name, new.name),
        ("driver", old.driver, new.driver),
    ]
    if isinstance(old, Gpu) and isinstance(new, Gpu):
        if old.asleep or new.asleep:  # a sleeping one is not asked: its figures come from a table
            return
        pairs += [("memory", _memory(old), _memory(new)), ("display", _display(old), _display(new))]
    for what, was, is_now in pairs:
        if was is not None and is_now is not None and was != is_now:
            yield f"{what} {is_now} after {was}"


def _memory(gpu: Gpu) -> str | None:
    return None if gpu.memory_total_bytes is None else gib(gpu.memory_total_bytes)


def _display(gpu: Gpu) -> str | None:
    return None if gpu.display_attached is None else ("attached" if gpu.display_attached else "none")


def held_bytes(launch: Launch, last: Hardware | None, device: str) -> int:
    """What the plan of a launch that runs has on the GPU ``device``. A plan counts the GPUs that there were
    when it was made; those of an engine that was taken over are taken for the ``last`` ones."""
    if launch.plan is None or launch.process is None or last is None:
        return 0
    gpus = launch.gpu_ids or tuple(gpu.id for gpu in last.gpus)
    names = {f"GPU{index}" for index, id_ in enumerate(gpus) if id_ == device}
    return sum(row.needed_bytes for row in launch.plan.memory if row.device in names)


def _named(device: Gpu | Npu) -> str:
    return f"{device.name} ({device.id})"


def _slot(device: str) -> str:
    return device.removeprefix("pci:")


async def _remembered(app: App) -> Hardware | None:
    return await app.store.recall(Hardware, DEVICES)


async def _remember(app: App, seen: Hardware) -> None:
    devices = Hardware(gpus=seen.gpus, set_aside=seen.set_aside, npus=seen.npus)
    await app.store.record(DEVICES, devices)
