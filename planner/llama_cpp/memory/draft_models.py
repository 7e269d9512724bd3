"""The memory of what drafts tokens for a model: a model of its own, or a multi-token-prediction (MTP) head
in the model's file or beside it.

Source: llama.cpp ``common_base_params_to_speculative``, ``common_speculative_init_result``, and
``llama_model::create_memory`` for the cache of an MTP head.
"""

from dataclasses import dataclass, replace

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.classification import draft_method_of, mtp_layers_of
from domain.models.kinds import DraftMethod
from domain.models.model import ModelShape
from planner.llama_cpp import context_params
from planner.llama_cpp.context_params import MTP, ContextParams
from planner.llama_cpp.memory import compute_buffers, host_memory, kv_cache
from planner.llama_cpp.memory.components import ComponentMemory
from planner.llama_cpp.placement import Placement, place_tensors
from planner.machine.devices import llama_cpp_build, visible_devices
from planner.model.hparams import Hparams, Layer, read_hparams

F32 = 4
KINDS_IN_HEADER = frozenset({DraftMethod.MTP, DraftMethod.DFLASH, DraftMethod.DSPARK})
MTP_NOTE = "the compute of the MTP head is an upper bound, until an engine has checked it"


@dataclass(frozen=True, slots=True)
class DraftContext:
    """The second context of an engine that drafts. ``shape`` and ``placement`` are those of the file with its
    weights. ``is_mtp``: whether only the MTP blocks of that run. ``shares_weights``: whether the file is the
    model's own, whose weights count already."""

    shape: ModelShape
    flags: LlamaFlags
    hparams: Hparams
    cparams: ContextParams
    placement: Placement
    is_mtp: bool = False
    shares_weights: bool = False


def with_draft_type(flags: LlamaFlags, draft: ModelShape | None) -> LlamaFlags:
    """``flags`` with the kind of draft that the engine takes where none is given: that of the draft's header.
    Source: ``common_speculative_types_from_gguf``."""
    if flags.speculative or draft is None:
        return flags
    method = draft_method_of(draft) or (DraftMethod.MTP if mtp_layers_of(draft) else None)
    return replace(flags, speculative=(method,)) if method in KINDS_IN_HEADER else flags


def drafts(flags: LlamaFlags) -> bool:
    return any(spec_type.startswith("draft") for spec_type in flags.speculative)


def draft_flags(
    flags: LlamaFlags, main_cparams: ContextParams, *, shares_weights: bool = False
) -> LlamaFlags:
    """The flags that the draft runs with: as many cells as the model has, its devices by default; the model's
    placement where it runs on the model's own weights."""
    own = replace(
        flags,
        context_tokens=main_cparams.context,
        cache_type_k=flags.draft_cache_type_k or "f16",
        cache_type_v=flags.draft_cache_type_v or "f16",
        draft_model=None,
        speculative=(),
    )
    if shares_weights:
        return own
    return replace(
        own,
        gpu_layers=flags.draft_gpu_layers,
        devices=flags.draft_devices or flags.devices,
        overrides=(),
        cpu_moe=False,
        n_cpu_moe=None,
    )


def draft_context(
    shape: ModelShape,
    draft: ModelShape | None,
    flags: LlamaFlags,
    main_cparams: ContextParams,
    hardware: Hardware,
) -> DraftContext | None:
    """``None`` if nothing drafts. ``draft``: the second file, if any, which drafts for ``shape``."""
    is_mtp = MTP in flags.speculative
    file = shape if draft is None else draft
    if draft is None and not (is_mtp and mtp_layers_of(shape)):
        return None
    own = draft_flags(flags, main_cparams, shares_weights=draft is None)
    hparams = read_hparams(file)
    is_mtp = is_mtp and mtp_layers_of(file) > 0
    placed_flags = replace(own, speculative=(MTP,)) if is_mtp else own
    placement = place_tensors(file, hparams, placed_flags, visible_devices(hardware, own))
    if is_mtp:
        hparams = mtp_hparams(hparams)
    cparams = context_params.resolve(own, hparams, build=llama_cpp_build(hardware))
    if not is_mtp:
        cparams = compute_buffers.resolve_flash_attention(file, hparams, cparams, placement)
    return DraftContext(file, own, hparams, cparams, placement, is_mtp, shares_weights=draft is None)


def mtp_hparams(hparams: Hparams) -> Hparams:
    """Those of the context that runs the MTP blocks alone: they attend, no other block keeps anything."""
    layers = tuple(
        replace(layer, has_kv=layer.kv_heads > 0) if index >= hparams.main_blocks else _without_cache(layer)
        for index, layer in enumerate(hparams.layers)
    )
    return replace(hparams, layers=layers, is_hybrid=False)


def _without_cache(layer: Layer) -> Layer:
    return replace(layer, has_kv=False, conv_values=0, state_values=0)


def draft_memory(context: DraftContext, main_flags: LlamaFlags) -> ComponentMemory:
    shape, hparams, cparams, placement = context.shape, context.hparams, context.cparams, context.placement
    flags = replace(context.flags, cache_ram_mib=_cache_ram_mib(main_flags))
    overhead_bytes = host_memory.overhead_bytes(shape, hparams, cparams, flags) - host_memory.BASE_HEAP_BYTES
    if context.shares_weights:
        overhead_bytes -= host_memory.vocabulary_bytes(shape, hparams)
    notes: tuple[str, ...] = ()
    if context.is_mtp:
        overhead_bytes += hidden_state_bytes(hparams, cparams)
        if not compute_buffers.is_exact(shape, hparams, cparams, placement, is_mtp=True):
            notes = (MTP_NOTE,)
    return ComponentMemory(
        placement.devices,
        {} if context.shares_weights else placement.weights,
        kv_cache.bytes_per_device(hparams, cparams, placement),
        compute_buffers.bytes_per_device(shape, hparams, cparams, placement, is_mtp=context.is_mtp),
        overhead_bytes,
        notes,
    )


def hidden_state_bytes(hparams: Hparams, cparams: ContextParams) -> int:
    """The model's hidden state of each token of a batch, which the head reads. Source: ``embd_nextn`` of
    ``llama_context::output_reserve``."""
    return cparams.batch * hparams.embedding_length * F32


def _cache_ram_mib(flags: LlamaFlags) -> int:
    """What a draft's state adds to saved prompts: nothing if their sum is limited."""
    return -1 if (flags.cache_ram_mib or 0) < 0 else 0
