"""What one exact llama-server command line takes on each device, and how fast it would be."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import HOST, LLAMA_CPP, Confidence, DeviceMemory, Estimate, LlamaFlags
from domain.units import gib
from planner import budget, compute, devices, host, hparams, kv, placement, resolved, speed
from planner.calibration import UNCALIBRATED, Calibration
from planner.devices import Device
from planner.graph.recipe import recipe
from planner.hparams import Hparams
from planner.placement import HOST_ID, Placement
from planner.resolved import Reader, Resolved


def estimate(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    depth_tokens: int = 0,
    calibration: Calibration = UNCALIBRATED,
    reader: Reader = Reader.SERVER,
) -> Estimate:
    """``depth_tokens``: tokens already in the context when the speed is taken.

    ``reader``: a llama-server that runs; or one of the tools that say beforehand what it would take,
    which differ from it in what they reserve.
    """
    laid = lay_out(shape, flags, hardware, reader=reader)
    rows = laid.rows
    return Estimate(
        engine=LLAMA_CPP,
        memory=rows,
        speed=speed.predict(
            shape,
            laid.model,
            laid.run,
            flags,
            laid.placement,
            hardware,
            depth_tokens=depth_tokens,
            calibration=calibration,
        ),
        fits=fits(rows),
        confidence=Confidence.ESTIMATED,
        notes=(*notes(rows), *unknown(laid.model)),
    )


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One command line resolved and placed, with what each device must hold."""

    model: Hparams
    run: Resolved
    placement: Placement
    rows: tuple[DeviceMemory, ...]


def lay_out(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    reader: Reader = Reader.SERVER,
    model: Hparams | None = None,
) -> LaidOut:
    """``model``: the header as read before, where many command lines are tried."""
    model = model or hparams.read(shape)
    run = resolved.resolve(flags, model, reader=reader, build=devices.build_of(hardware))
    used = devices.devices(hardware, flags)
    where = placement.place(shape, model, flags, used)
    parts = (where.weights, kv.per_device(model, run, where), compute.per_device(shape, model, run, where))
    rows = _rows(parts, used, host.overhead_bytes(shape, model, run, flags), hardware)
    return LaidOut(model, run, where, rows)


def fits(memory: Sequence[DeviceMemory]) -> bool:
    """Whether nothing is known to be too large for its device."""
    return all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in memory)


def notes(memory: Sequence[DeviceMemory]) -> tuple[str, ...]:
    return tuple(
        f"{row.device} needs {gib(row.needed_bytes)}, {gib(row.free_bytes)} is free"
        for row in memory
        if row.free_bytes is not None and row.needed_bytes > row.free_bytes
    )


def unknown(model: Hparams) -> tuple[str, ...]:
    """Said of an architecture whose graph is not the engine's own."""
    if recipe(model.architecture).known:
        return ()
    return (f"the graph of {model.architecture} is taken for a plain transformer's: compute is a guess",)


Parts = tuple[dict[int, int], dict[int, int], dict[int, int]]


def _rows(
    parts: Parts, used: Sequence[Device], host_overhead: int, hardware: Hardware
) -> tuple[DeviceMemory, ...]:
    rows = [
        _row(
            device.name,
            number,
            parts,
            device.backend.context_bytes,
            budget.gpu_free_bytes(device.gpu, hardware),
        )
        for number, device in enumerate(used)
    ]
    shared = sum(row.needed_bytes for row, device in zip(rows, used, strict=True) if device.is_unified)
    free = budget.host_free_bytes(hardware)
    left = None if free is None else max(0, free - shared)
    return (*rows, _row(HOST, HOST_ID, parts, host_overhead, left))


def _row(name: str, number: int, parts: Parts, overhead: int, free: int | None) -> DeviceMemory:
    weights, cache, work = (part.get(number, 0) for part in parts)
    return DeviceMemory(name, weights, cache, work, overhead, weights + cache + work + overhead, free)
