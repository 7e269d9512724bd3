"""What one exact llama-server command line takes on each device, and how fast it would be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.launches.plan import LLAMA_CPP, Confidence, DeviceMemory, Estimate, LlamaFlags, Speed
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from domain.units import gib
from planner.llama_cpp import context_params, tensor_split
from planner.llama_cpp.context_params import ContextParams, EngineTool
from planner.llama_cpp.memory import compute_buffers, draft_models, host_memory, kv_cache, projectors
from planner.llama_cpp.memory.components import ComponentMemory, sum_per_device
from planner.llama_cpp.memory.draft_models import DraftContext
from planner.llama_cpp.placement import Placement, place_tensors
from planner.llama_cpp.speed import roofline
from planner.llama_cpp.speed.speculation import (
    EXPECTED_ACCEPTANCE,
    HIGH_ACCEPTANCE,
    LOW_ACCEPTANCE,
    Draft,
)
from planner.llama_cpp.speed.workload import Workload, device_workloads
from planner.machine import disk
from planner.machine.calibration import UNCALIBRATED, Calibration
from planner.machine.devices import llama_cpp_build, visible_devices
from planner.model.hparams import Hparams, read_hparams

ACCEPTANCE_NOTE = (
    f"decode assumes that {100 * EXPECTED_ACCEPTANCE:.0f} % of drafted tokens are accepted, "
    f"its range {100 * LOW_ACCEPTANCE:.0f} to {100 * HIGH_ACCEPTANCE:.0f} %"
)
# Without a type the engine takes the one that the draft's header names; a plain model's names none.
# Source: ``common_models_handler`` and ``common_speculative_types_from_gguf``.
NO_HEAD_NOTE = "the engine refuses --spec-type draft-mtp: this file has no head for multi-token prediction"
UNUSED_DRAFT_NOTE = "a draft model is loaded but not used: --spec-type draft-simple uses it"


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """One command line resolved and placed, with what each device must hold."""

    hparams: Hparams
    cparams: ContextParams
    placement: Placement
    memory: tuple[DeviceMemory, ...]
    notes: tuple[str, ...] = ()
    draft: DraftContext | None = None

    def workloads(self, shape: ModelShape, depth_tokens: int) -> dict[int, Workload]:
        """What each device does for one token at this depth, by device number."""
        return device_workloads(shape, self.hparams, self.cparams, self.placement, depth_tokens)


def estimate(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    depth_tokens: int = 0,
    calibration: Calibration = UNCALIBRATED,
    tool: EngineTool = EngineTool.SERVER,
    mmproj: ModelShape | None = None,
    draft: ModelShape | None = None,
) -> Estimate:
    """Memory and speed of ``flags``.

    ``depth_tokens``: tokens already in the context when the speed is taken. ``tool``: a llama-server that
    runs, or one of the tools that report beforehand what it would take and reserve other sizes. ``mmproj``
    and ``draft``: the files that the flags of these names point at.
    """
    flags = draft_models.with_draft_type(flags, draft)
    layout = memory_layout(shape, flags, hardware, tool=tool, mmproj=mmproj, draft=draft)
    hparams, cparams, placement = layout.hparams, layout.cparams, layout.placement
    in_memory = roofline.predict(
        shape,
        hparams,
        cparams,
        flags,
        placement,
        hardware,
        depth_tokens=depth_tokens,
        calibration=calibration,
        draft=_draft(layout.draft, flags, hardware, depth_tokens),
    )
    speed = _with_disk_reads(in_memory, shape, layout, flags, hardware, depth_tokens)
    if flags.is_pooled or not hparams.has_cache:
        speed = replace(speed, decode_tokens_per_s=None)
    return Estimate(
        engine=LLAMA_CPP,
        memory=layout.memory,
        speed=speed,
        fits=fits(layout.memory),
        confidence=Confidence.ESTIMATED,
        notes=(
            *overflow_notes(layout.memory),
            *bound_notes(hparams, is_exact=compute_buffers.is_exact(shape, hparams, cparams, placement)),
            *layout.notes,
            *_draft_notes(layout.draft, flags),
            *host_memory.overhead_notes(hparams, cparams, flags),
        ),
    )


def _draft(
    context: DraftContext | None, main_flags: LlamaFlags, hardware: Hardware, depth_tokens: int
) -> Draft | None:
    if context is None or not draft_models.drafts(main_flags):
        return None
    return Draft(
        device_workloads(
            context.shape,
            context.hparams,
            context.cparams,
            context.placement,
            depth_tokens,
            is_mtp=context.is_mtp,
        ),
        roofline.machine_model(context.flags, context.placement, hardware),
        context.cparams,
        context_params.speculative_tokens(main_flags),
    )


def _draft_notes(context: DraftContext | None, flags: LlamaFlags) -> tuple[str, ...]:
    if context is None:
        return (NO_HEAD_NOTE,) if context_params.MTP in flags.speculative else ()
    return (ACCEPTANCE_NOTE if draft_models.drafts(flags) else UNUSED_DRAFT_NOTE,)


def _with_disk_reads(
    in_memory: Speed,
    shape: ModelShape,
    layout: MemoryLayout,
    flags: LlamaFlags,
    hardware: Hardware,
    depth_tokens: int,
) -> Speed:
    """Saved prompts and checkpoints do not count: they take their RAM over days, and this is one run."""
    *gpus, host = layout.memory
    saved_bytes = host_memory.prompt_cache_bytes(layout.hparams, layout.cparams, flags)
    saved_bytes += host_memory.checkpoint_bytes(layout.hparams, layout.cparams, flags)
    memory = (*gpus, replace(host, needed_bytes=host.needed_bytes - saved_bytes))
    if not disk.bytes_not_in_memory(memory, flags):
        return in_memory
    return disk.with_disk_reads(in_memory, memory, layout.workloads(shape, depth_tokens), flags, hardware)


def memory_layout(
    shape: ModelShape,
    flags: LlamaFlags,
    hardware: Hardware,
    *,
    tool: EngineTool = EngineTool.SERVER,
    hparams: Hparams | None = None,
    mmproj: ModelShape | None = None,
    draft: ModelShape | None = None,
) -> MemoryLayout:
    """``hparams``: the header as read before, for callers that try many command lines."""
    flags = draft_models.with_draft_type(flags, draft)
    hparams = hparams or read_hparams(shape)
    cparams = context_params.resolve(flags, hparams, tool=tool, build=llama_cpp_build(hardware))
    placement = place_tensors(shape, hparams, flags, visible_devices(hardware, flags))
    cparams = compute_buffers.resolve_flash_attention(shape, hparams, cparams, placement)
    parts = [_model_memory(shape, hparams, cparams, flags, placement)]
    drafting = draft_models.draft_context(shape, draft, flags, cparams, hardware)
    if drafting is not None:
        parts.append(draft_models.draft_memory(drafting, flags))
    if mmproj is not None:
        parts.append(projectors.projector_memory(mmproj, flags, hardware))
    notes = tuple(note for part in parts for note in part.notes)
    return MemoryLayout(hparams, cparams, placement, sum_per_device(parts, hardware), notes, drafting)


def _model_memory(
    shape: ModelShape, hparams: Hparams, cparams: ContextParams, flags: LlamaFlags, placement: Placement
) -> ComponentMemory:
    overhead_bytes = host_memory.overhead_bytes(shape, hparams, cparams, flags)
    if tensor_split.splits_matrices(flags, placement):
        return tensor_split.model_memory(shape, hparams, cparams, flags, placement, overhead_bytes)
    return ComponentMemory(
        placement.devices,
        placement.weights,
        kv_cache.bytes_per_device(hparams, cparams, placement),
        compute_buffers.bytes_per_device(shape, hparams, cparams, placement),
        overhead_bytes,
    )


def fits(memory: Sequence[DeviceMemory]) -> bool:
    """Whether nothing is known to be too large for its device."""
    return all(row.free_bytes is None or row.needed_bytes <= row.free_bytes for row in memory)


def overflow_notes(memory: Sequence[DeviceMemory]) -> tuple[str, ...]:
    return tuple(
        f"{row.device} needs {gib(row.needed_bytes)}, {gib(row.free_bytes)} is free"
        for row in memory
        if row.free_bytes is not None and row.needed_bytes > row.free_bytes
    )


def bound_notes(hparams: Hparams, *, is_exact: bool) -> tuple[str, ...]:
    """Says which figures are upper bounds, where the graph is not the engine's own."""
    if is_exact:
        return ()
    if hparams.is_known or not hparams.has_cache:
        return ("the compute of this file is an upper bound, until an engine has checked it",)
    bound = f"there are no rules for {hparams.architecture}: its cache and compute are upper bounds"
    return (f"{bound}, until an engine has checked them",)
