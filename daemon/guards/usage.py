"""Which launches use which device of the machine, and which of them is given up first."""

from collections.abc import Sequence

from daemon.app import App
from daemon.guards.heat_limits import CPU
from daemon.launches.launch import Launch
from daemon.machine.device_changes import planned_bytes
from domain.launches.plan import HOST, DeviceMemory
from domain.machine.hardware import Hardware

HOST_SHARE = 0.1  # of the weights: the embeddings alone, which a GPU's plan has on the host, are less


def launches_on(app: App, device_id: str, machine: Hardware) -> list[Launch]:
    """Those that are to be served there, by their last plan: the least valuable first, by pin, priority, and
    the order in which they were launched."""
    wanted = [launch for launch in app.launches.values() if launch.lifecycle.desired]
    there = [launch for launch in reversed(wanted) if device_id in devices_of(launch, machine)]
    return sorted(there, key=lambda launch: (launch.serving.pinned, launch.serving.priority))


def devices_of(launch: Launch, machine: Hardware) -> frozenset[str]:
    """``CPU`` if it computes a good part of the weights."""
    plan = launch.plan
    if plan is None:
        return frozenset()
    ids = {gpu.id for gpu in machine.gpus} | set(launch.gpu_ids)
    used = {one for one in ids if planned_bytes(plan, launch.gpu_ids, machine, one)}
    host, total = _weights(plan.memory, HOST), _weights(plan.memory)
    return frozenset({*used, CPU} if not used or host > HOST_SHARE * total else used)


def _weights(rows: Sequence[DeviceMemory], device: str | None = None) -> int:
    return sum(row.weights_bytes for row in rows if device in (None, row.device))
