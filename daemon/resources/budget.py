"""The ledger as an owner sees it: one budget for each device and for the RAM. Pure."""

from collections.abc import Mapping, Sequence

from daemon.resources.ledger import free_bytes, gpu_of
from domain.launches.plan import HOST
from domain.machine.accelerator import GpuProcess
from domain.machine.budget import DeviceBudget, Share
from domain.machine.hardware import Hardware
from planner.machine.budget import Reserve, gpu_reserve_bytes, host_reserve_bytes


def margin_bytes(machine: Hardware, device: str, reserve: Reserve) -> int:
    """What plans leave free of ``device``."""
    gpu = gpu_of(machine, device)
    return host_reserve_bytes(machine, reserve) if gpu is None else gpu_reserve_bytes(gpu, machine, reserve)


def budgets(
    machine: Hardware,
    reserve: Reserve,
    shares: Mapping[str, Sequence[Share]],
    returning: Mapping[str, Sequence[str]],
) -> tuple[DeviceBudget, ...]:
    """``shares`` and ``returning`` are by device. GPUs come first, then the RAM."""
    rows = [(f"GPU{number}", gpu.name, gpu.memory_total_bytes) for number, gpu in enumerate(machine.gpus)]
    tenants = {f"GPU{number}": gpu.tenants or () for number, gpu in enumerate(machine.gpus)}
    return tuple(
        _budget(
            (device, name, total),
            free_bytes(machine, device),
            margin_bytes(machine, device, reserve),
            tuple(shares.get(device, ())),
            tenants.get(device, ()),
            tuple(returning.get(device, ())),
        )
        for device, name, total in (*rows, (HOST, None, machine.memory.total_bytes))
    )


def _budget(
    what: tuple[str, str | None, int | None],
    free: int | None,
    margin: int,
    shares: tuple[Share, ...],
    tenants: tuple[GpuProcess, ...],
    returning: tuple[str, ...],
) -> DeviceBudget:
    device, name, total = what
    reserved = sum(share.reserved_bytes for share in shares)
    used = sum(share.needed_bytes for share in shares) - reserved
    return DeviceBudget(
        device,
        name,
        total,
        free,
        margin,
        left_bytes=None if free is None else max(0, free - reserved - margin),
        others_bytes=None if free is None or total is None else max(0, total - free - used),
        shares=shares,
        tenants=tenants,
        returning=returning,
    )
