"""Compute buffers per device: the graph of the largest batch, allocated as the engine allocates it."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

from domain.models.model import ModelShape
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.graph.builder import GraphBuilder, UnsupportedGraphError
from planner.llama_cpp.graph.model import build, build_mtp
from planner.llama_cpp.graph.recipe import recipe
from planner.llama_cpp.graph.schedule import PIPELINE_COPIES, Scheduler
from planner.llama_cpp.graph.tensor import Graph
from planner.llama_cpp.memory import compute_upper_bound
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.machine.devices import REMOTE_CPU, Backend
from planner.model.hparams import Hparams, Layer

HOST_ALIGNMENT_BYTES = 32
# Of a run of equal blocks only the first and the last are built: between them the free blocks of the buffer
# repeat after one or two periods. A test compares with whole graphs. Copies of states on the host leave gaps
# in each block: those graphs are built whole.
BLOCKS_AT_EACH_END = 2
SKIPPED_PERIODS = 2
MAX_PERIOD = 8

# The kind of a block, its device, and the device of each of its tensors.
BlockSignature = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph to build. Only what decides the sizes is compared, so two quants of a model share a
    result."""

    cparams: ContextParams
    dimensions: tuple[int, ...]
    layers: tuple[Layer, ...]
    signatures: tuple[BlockSignature, ...]
    backends: tuple[Backend, ...]
    end_devices: tuple[int, ...]
    pipeline_copies: int
    weight_bytes: int
    blocks: tuple[int, ...] = field(compare=False)
    shape: ModelShape = field(compare=False)
    hparams: Hparams = field(compare=False)
    placement: Placement = field(compare=False)
    architecture: str = ""
    is_mtp: bool = False


def bytes_per_device(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    placement: Placement,
    *,
    all_blocks: bool = False,
    is_mtp: bool = False,
) -> dict[int, int]:
    """Bytes by device number; an upper bound where the graph is not known.

    ``all_blocks``: build every block, not just representative ones. ``is_mtp``: of the context that runs the
    multi-token-prediction head alone."""
    if is_mtp:
        blocks: tuple[int, ...] = (hparams.main_blocks,)
    elif all_blocks or (hparams.is_hybrid and not cparams.kv_offload):
        blocks = tuple(range(hparams.main_blocks))
    else:
        blocks = representative_blocks(hparams, placement)
    spec = replace(_graph_spec(shape, hparams, cparams, placement, blocks), is_mtp=is_mtp)
    sizes = _buffer_sizes(spec)
    if sizes is None:
        pipelined = is_pipelined(hparams, cparams, placement)
        return compute_upper_bound.bytes_per_device(
            shape, hparams, cparams, placement, is_pipelined=pipelined
        )
    return {HOST_ID: sizes[-1], **dict(enumerate(sizes[:-1]))}


def is_exact(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    placement: Placement,
    *,
    is_mtp: bool = False,
) -> bool:
    """Whether ``bytes_per_device`` gives the engine's own graph, not an upper bound."""
    blocks = (hparams.main_blocks,) if is_mtp else representative_blocks(hparams, placement)
    spec = replace(_graph_spec(shape, hparams, cparams, placement, blocks), is_mtp=is_mtp)
    return _buffer_sizes(spec) is not None


def _graph_spec(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    placement: Placement,
    blocks: tuple[int, ...],
) -> GraphSpec:
    backends = tuple(device.backend for device in placement.devices)
    # copies of weights on the host are in the buffers: nothing else in a graph depends on the quant
    offloads = placement.computes_on_host and any(backend.offloads_host_weights for backend in backends)
    layers = len(hparams.layers)
    return GraphSpec(
        cparams=cparams,
        dimensions=(
            hparams.embedding_length,
            hparams.vocab_size,
            hparams.expert_count,
            hparams.experts_used,
            layers,
        ),
        layers=tuple(dict(zip(hparams.kinds, hparams.layers, strict=True)).values()),
        signatures=tuple(block_signature(hparams, placement, block) for block in blocks),
        backends=backends,
        end_devices=(placement.output, placement.tensor_device.get("token_embd.weight", HOST_ID)),
        pipeline_copies=PIPELINE_COPIES if is_pipelined(hparams, cparams, placement) else 1,
        weight_bytes=shape.file_bytes if offloads else 0,
        blocks=blocks,
        shape=shape,
        hparams=hparams,
        placement=placement,
        architecture=hparams.architecture,
    )


@lru_cache(maxsize=256)
def _buffer_sizes(spec: GraphSpec) -> tuple[int, ...] | None:
    if not spec.hparams.is_known:
        return None
    try:
        graph = _graph(_builder(spec), is_mtp=spec.is_mtp)
    except UnsupportedGraphError:
        return None
    return tuple(_scheduler(spec).buffer_sizes(graph))


def _graph(builder: GraphBuilder, *, is_mtp: bool = False) -> Graph:
    """Raises: UnsupportedGraphError, also where the header says zero of the heads, groups or experts that its
    tensors are for."""
    try:
        return build_mtp(builder) if is_mtp else build(builder)
    except (ZeroDivisionError, IndexError) as error:
        raise UnsupportedGraphError(str(error)) from error


def _builder(spec: GraphSpec) -> GraphBuilder:
    own_recipe = recipe(spec.hparams.architecture)
    return GraphBuilder(spec.shape, spec.hparams, spec.cparams, spec.placement, own_recipe, spec.blocks)


def _scheduler(spec: GraphSpec) -> Scheduler:
    return Scheduler(
        [*(backend.alignment_bytes for backend in spec.backends), HOST_ALIGNMENT_BYTES],
        [*(backend.offloads_host_weights for backend in spec.backends), False],
        pipeline_copies=spec.pipeline_copies,
    )


def resolve_flash_attention(
    shape: ModelShape, hparams: Hparams, cparams: ContextParams, placement: Placement
) -> ContextParams:
    """``cparams`` with flash attention as ``-fa auto`` decides it.

    It is turned off if one of its nodes would not run on its layer's device, which happens where caches or
    states are on the host. Source: ``llama_context::resolve_fused_ops``."""
    is_auto = cparams.flash_attention_auto and cparams.flash_attention
    may_be_remote = hparams.is_known and (hparams.is_hybrid or not cparams.kv_offload)
    if not (is_auto and may_be_remote and placement.devices):
        return cparams
    probe = replace(cparams, ubatch=cparams.sequences, logits_rows=cparams.sequences)
    blocks = representative_blocks(hparams, placement)
    stays_local = _fused_nodes_stay_local(_graph_spec(shape, hparams, probe, placement, blocks))
    return cparams if stays_local else replace(cparams, flash_attention=False)


@lru_cache(maxsize=256)
def _fused_nodes_stay_local(spec: GraphSpec) -> bool:
    builder = _builder(spec)
    try:
        graph = _graph(builder)
    except UnsupportedGraphError:
        return True
    _scheduler(spec).assign(graph)
    return all(
        node.backend == builder.backend_index(spec.placement.layer_device[block])
        for node, block in builder.fused_attention
    )


def is_pipelined(hparams: Hparams, cparams: ContextParams, placement: Placement) -> bool:
    """Several devices, all layers and the cache on them, no overrides. Source: ``llama_context``."""
    return (
        len(placement.devices) > 1
        and cparams.gpu_layers > len(hparams.layers)
        and cparams.kv_offload
        and cparams.splits_by_layer
        and not placement.has_overrides
        and (cparams.mixed_batches or all(device.backend is not REMOTE_CPU for device in placement.devices))
    )


def representative_blocks(hparams: Hparams, placement: Placement) -> tuple[int, ...]:
    """The first and last blocks of every run of blocks with the same repeating signatures."""
    signatures = [block_signature(hparams, placement, block) for block in range(hparams.main_blocks)]
    blocks: set[int] = set()
    start = 0
    while start < len(signatures):
        period, end = _repeating_run(signatures, start)
        count = max(BLOCKS_AT_EACH_END, period)
        step = SKIPPED_PERIODS * period
        skipped = max(0, end - start - 2 * count) // step * step
        blocks |= set(range(start, min(start + count, end)))
        blocks |= set(range(min(start + count + skipped, end), end))
        start = end
    return tuple(sorted(blocks))


def block_signature(hparams: Hparams, placement: Placement, block: int) -> BlockSignature:
    return hparams.kinds[block], placement.layer_device[block], placement.block_devices[block]


def _repeating_run(signatures: list[BlockSignature], start: int) -> tuple[int, int]:
    """The period of the longest repetition from ``start``, and its end."""
    longest = (1, start + 1)
    for period in range(1, MAX_PERIOD + 1):
        end = start + period
        while end < len(signatures) and signatures[end] == signatures[end - period]:
            end += 1
        if end - start >= 2 * period and end > longest[1]:
            longest = (period, end)
    return longest
