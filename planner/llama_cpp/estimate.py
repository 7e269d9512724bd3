"""What one exact llama-server command line takes on each device, and how fast it would be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import HOST, LLAMA_CPP, Confidence, DeviceMemory, Estimate, LlamaFlags, Speed
from domain.units import gib
from planner.llama_cpp import (
    compute_buffers,
    context_params,
    draft_models,
    host_memory,
    kv_cache,
    placement,
    projectors,
    tensor_split,
)
from planner.llama_cpp.context_params import ContextParams, Reader
from planner.llama_cpp.draft_models import Companion
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.llama_cpp.speed import roofline
from planner.llama_cpp.speed.speculation import EXPECTED, HIGH, LOW, Draft
from planner.llama_cpp.speed.traffic import per_device
from planner.machine import budget, devices, disk
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.model import hparams
from planner.model.hparams import Hparams

ACCEPTED = (
    f"decode supposes that {EXPECTED:.0%} of drafted tokens are accepted, its range {LOW:.0%} to {HIGH:.0%}"
)
# Without a type the engine takes that which the draft's header names; a plain model's names none.
# Source: ``common_models_handler`` and ``common_speculative_types_from_gguf``.
UNUSED = "a draft model is loaded, and nothing is drafted without a type: --spec-type draft-simple"


def estimate(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    depth_tokens: int = 0,
    calibration: Calibration = UNCALIBRATED,
    reader: Reader = Reader.SERVER,
    mmproj: ModelShape | None = None,
    draft: ModelShape | None = None,
) -> Estimate:
    """``depth_tokens``: tokens already in the context when the speed is taken.

    ``reader``: a llama-server that runs; or one of the tools that say beforehand what it would take,
    which differ from it in what they reserve. ``mmproj`` and ``draft``: what the flags of these names
    point at.
    """
    laid = lay_out(shape, flags, hardware, reader=reader, mmproj=mmproj, draft=draft)
    rows = laid.rows
    in_memory = roofline.predict(
        shape,
        laid.model,
        laid.run,
        flags,
        laid.placement,
        hardware,
        depth_tokens=depth_tokens,
        calibration=calibration,
        draft=_drafting(draft, flags, laid.run, hardware, depth_tokens),
    )
    exact = compute_buffers.is_laid_out(shape, laid.model, laid.run, laid.placement)
    said = (*notes(rows), *unknown(laid.model, laid_out=exact), *laid.notes, *_on_drafts(draft, flags))
    return Estimate(
        engine=LLAMA_CPP,
        memory=rows,
        speed=_from_disk(in_memory, shape, laid, flags, hardware, depth_tokens),
        fits=fits(rows),
        confidence=Confidence.ESTIMATED,
        notes=(*said, *host_memory.words(laid.model, laid.run, flags)),
    )


def _drafting(
    shape: ModelShape | None, flags: LlamaFlags, main: ContextParams, hardware: Hardware, depth_tokens: int
) -> Draft | None:
    if shape is None or not _drafts(flags):
        return None
    line = draft_models.draft_line(flags, main)
    laid = lay_out(shape, line, hardware)
    work = per_device(shape, laid.model, laid.run, laid.placement, depth_tokens)
    return Draft(
        work,
        roofline.machine_model(line, laid.placement, hardware),
        laid.run,
        context_params.speculative_tokens(flags),
    )


def _on_drafts(shape: ModelShape | None, flags: LlamaFlags) -> tuple[str, ...]:
    if shape is None:
        return ()
    return (ACCEPTED if _drafts(flags) else UNUSED,)


def _drafts(flags: LlamaFlags) -> bool:
    return any(kind.startswith("draft") for kind in flags.speculative)


def _from_disk(
    in_memory: Speed,
    shape: ModelShape,
    laid: "LaidOut",
    flags: LlamaFlags,
    hardware: Hardware,
    depth_tokens: int,
) -> Speed:
    """Saved prompts do not count: they take their RAM over days, and what is predicted is a run."""
    *gpus, own = laid.rows
    saved = host_memory.prompt_cache_bytes(laid.model, laid.run, flags)
    saved += host_memory.checkpoint_bytes(laid.model, laid.run, flags)
    rows = (*gpus, replace(own, needed_bytes=own.needed_bytes - saved))
    if not disk.lacking_bytes(rows, flags):
        return in_memory
    read = per_device(shape, laid.model, laid.run, laid.placement, depth_tokens)
    return disk.slowed(in_memory, rows, read, flags, hardware)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One command line resolved and placed, with what each device must hold."""

    model: Hparams
    run: ContextParams
    placement: Placement
    rows: tuple[DeviceMemory, ...]
    notes: tuple[str, ...] = ()


def lay_out(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    reader: Reader = Reader.SERVER,
    model: Hparams | None = None,
    mmproj: ModelShape | None = None,
    draft: ModelShape | None = None,
) -> LaidOut:
    """``model``: the header as read before, where many command lines are tried."""
    model = model or hparams.read(shape)
    run = context_params.resolve(flags, model, reader=reader, build=devices.build_of(hardware))
    used = devices.devices(hardware, flags)
    where = placement.place(shape, model, flags, used)
    run = compute_buffers.settled(shape, model, run, where)
    overhead = host_memory.overhead_bytes(shape, model, run, flags)
    if tensor_split.is_across(flags, where):
        own = tensor_split.companion(shape, model, run, flags, where, overhead)
    else:
        own = Companion(
            where.devices,
            where.weights,
            kv_cache.per_device(model, run, where),
            compute_buffers.per_device(shape, model, run, where),
            overhead,
        )
    beside = []
    if draft is not None:
        beside.append(draft_models.draft(draft, flags, run, hardware))
    if mmproj is not None:
        beside.append(projectors.projector(mmproj, flags, hardware))
    rows = _rows([own, *beside], hardware)
    said = tuple(note for one in (own, *beside) for note in one.notes)
    return LaidOut(model, run, where, rows, said)


def fits(memory: Sequence[DeviceMemory]) -> bool:
    """Whether nothing is known to be too large for its device."""
    return all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in memory)


def notes(memory: Sequence[DeviceMemory]) -> tuple[str, ...]:
    return tuple(
        f"{row.device} needs {gib(row.needed_bytes)}, {gib(row.free_bytes)} is free"
        for row in memory
        if row.free_bytes is not None and row.needed_bytes > row.free_bytes
    )


def unknown(model: Hparams, *, laid_out: bool) -> tuple[str, ...]:
    """Said of an architecture or a file whose graph is not the engine's own here."""
    if laid_out:
        return ()
    what = (
        "the compute of this file"
        if model.is_known
        else f"the rules do not know {model.architecture}: its cache and compute"
    )
    verb = "is a bound" if model.is_known else "are bounds"
    return (f"{what} {verb} from above, until an engine has been asked",)


def _rows(parts: Sequence[Companion], hardware: Hardware) -> tuple[DeviceMemory, ...]:
    used = {device.index: device for part in parts for device in part.devices}
    rows = [
        _row(
            device.name,
            parts,
            device.index,
            device.backend.context_bytes,
            budget.gpu_free_bytes(device.gpu, hardware),
        )
        for device in used.values()
    ]
    shared = sum(
        row.needed_bytes for row, device in zip(rows, used.values(), strict=True) if device.is_unified
    )
    free = budget.host_free_bytes(hardware)
    left = None if free is None else max(0, free - shared)
    return (*rows, _row(HOST, parts, HOST_ID, sum(part.overhead_bytes for part in parts), left))


def _row(name: str, parts: Sequence[Companion], index: int, overhead: int, free: int | None) -> DeviceMemory:
    """``index``: the device's place in the hardware."""
    weights = cache = work = 0
    for part in parts:
        numbers = [number for number, device in enumerate(part.devices) if device.index == index]
        for number in [HOST_ID] if index == HOST_ID else numbers:
            weights += part.weights.get(number, 0)
            cache += part.cache.get(number, 0)
            work += part.work.get(number, 0)
    return DeviceMemory(name, weights, cache, work, overhead, weights + cache + work + overhead, free)
