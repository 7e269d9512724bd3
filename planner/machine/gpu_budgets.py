"""What a plan may take of each GPU, and of all memories together."""

from dataclasses import dataclass

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from planner.machine.budget import Reserve, gpu_budget_bytes, host_budget_bytes
from planner.machine.devices import Device, visible_devices


@dataclass(frozen=True, slots=True)
class Budget:
    """A GPU that a plan may use, and the bytes it may take there."""

    device: Device
    available_bytes: int


def gpu_budgets(hardware: Hardware, reserve: Reserve) -> tuple[Budget, ...]:
    """GPUs of known size, less what the driver itself takes. A GPU of unknown size is not used."""
    budgets = []
    for device in visible_devices(hardware, LlamaFlags()):
        allowed_bytes = gpu_budget_bytes(device.gpu, hardware, reserve)
        if allowed_bytes is not None:
            budgets.append(Budget(device, max(0, allowed_bytes - device.backend.context_bytes)))
    return tuple(budgets)


def total_budget_bytes(hardware: Hardware, reserve: Reserve) -> int | None:
    """Over all memories that a plan may use, a shared pool once. ``None`` if the host's is not known."""
    host_bytes = host_budget_bytes(hardware, reserve)
    if host_bytes is None:
        return None
    budgets = gpu_budgets(hardware, reserve)
    return host_bytes + sum(budget.available_bytes for budget in budgets if not budget.device.is_unified)
