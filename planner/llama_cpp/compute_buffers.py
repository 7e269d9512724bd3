"""Compute buffers per device: the graph of the largest batch, laid out as the engine lays it out."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

from domain.model import ModelShape
from planner.llama_cpp import compute_upper_bound
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.graph.context import Context, NotLaidOutError
from planner.llama_cpp.graph.model import build
from planner.llama_cpp.graph.recipe import recipe
from planner.llama_cpp.graph.schedule import PIPELINE_COPIES, Scheduler
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.machine.devices import REMOTE_CPU, Backend
from planner.model.hparams import Hparams, Layer

HOST_ALIGNMENT = 32
# A run of like blocks is walked through at its start and its end only: between them the free blocks of
# the buffer come round again, after one block or after two. A test compares with whole graphs. Copies of
# states that stand on the host leave gaps in each block: those graphs are walked through whole.
KEPT_BLOCKS = 2
ROUND = 2


# The kind of a block, its device, and where each of its tensors stands.
Standing = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Job:
    """One graph to lay out. What decides the sizes is compared, what carries it is not: two quants of
    a model share their graph."""

    run: ContextParams
    widths: tuple[int, ...]
    layers: tuple[Layer, ...]
    blocks: tuple[Standing, ...]
    backends: tuple[Backend, ...]
    ends: tuple[int, ...]
    copies: int
    weight_bytes: int
    numbers: tuple[int, ...] = field(compare=False)
    shape: ModelShape = field(compare=False)
    hparams: Hparams = field(compare=False)
    placement: Placement = field(compare=False)
    architecture: str = ""


def per_device(
    shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement, *, whole: bool = False
) -> dict[int, int]:
    """Bytes by device number; a bound from above where the graph is not known. ``whole``: walk through
    every block."""
    whole = whole or (hparams.is_hybrid and not run.kv_offload)
    numbers = tuple(range(hparams.trunk)) if whole else telling(hparams, placement)
    sizes = _sizes(_job(shape, hparams, run, placement, numbers))
    if sizes is None:
        pipelined = is_pipelined(hparams, run, placement)
        return compute_upper_bound.per_device(shape, hparams, run, placement, pipelined=pipelined)
    return {HOST_ID: sizes[-1], **dict(enumerate(sizes[:-1]))}


def is_laid_out(shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement) -> bool:
    """Whether ``per_device`` gives the engine's own graph, not a bound."""
    return _sizes(_job(shape, hparams, run, placement, telling(hparams, placement))) is not None


def _job(
    shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement, numbers: tuple[int, ...]
) -> Job:
    backends = tuple(device.backend for device in placement.devices)
    return Job(
        run=run,
        widths=(hparams.embd, hparams.vocab, hparams.experts, hparams.experts_used, len(hparams.layers)),
        layers=tuple(dict(zip(hparams.kinds, hparams.layers, strict=True)).values()),
        blocks=tuple(standing(hparams, placement, number) for number in numbers),
        backends=backends,
        ends=(placement.output, placement.tensor_device.get("token_embd.weight", HOST_ID)),
        copies=PIPELINE_COPIES if is_pipelined(hparams, run, placement) else 1,
        weight_bytes=shape.file_bytes if any(one.offloads_host_weights for one in backends) else 0,
        numbers=numbers,
        shape=shape,
        hparams=hparams,
        placement=placement,
        architecture=hparams.architecture,
    )


@lru_cache(maxsize=256)
def _sizes(job: Job) -> tuple[int, ...] | None:
    if not job.hparams.is_known:
        return None
    try:
        graph = build(_context(job))
    except NotLaidOutError:
        return None
    return tuple(_scheduler(job).buffer_sizes(graph))


def _context(job: Job) -> Context:
    made = recipe(job.hparams.architecture)
    return Context(job.shape, job.hparams, job.run, job.placement, made, job.numbers)


def _scheduler(job: Job) -> Scheduler:
    return Scheduler(
        [*(backend.alignment for backend in job.backends), HOST_ALIGNMENT],
        [*(backend.offloads_host_weights for backend in job.backends), False],
        copies=job.copies,
    )


def settled(shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement) -> ContextParams:
    """``run`` with flash attention as ``-fa auto`` leaves it: off where one of its nodes would not run
    on its layer's device, which happens where caches or states stand on the host.

    Source: ``llama_context::resolve_fused_ops``."""
    may_differ = hparams.is_known and (hparams.is_hybrid or not run.kv_offload)
    if not (run.flash_attention_auto and run.flash_attention and may_differ and placement.devices):
        return run
    probe = replace(run, ubatch=run.sequences, logits_rows=run.sequences)
    stays = _is_fused_at_home(_job(shape, hparams, probe, placement, telling(hparams, placement)))
    return run if stays else replace(run, flash_attention=False)


@lru_cache(maxsize=256)
def _is_fused_at_home(job: Job) -> bool:
    context = _context(job)
    try:
        graph = build(context)
    except NotLaidOutError:
        return True
    _scheduler(job).assign(graph)
    at_home = (context.home(job.placement.layer_device[block]) for _, block in context.fused)
    return all(node.backend == home for (node, _), home in zip(context.fused, at_home, strict=True))


def is_pipelined(hparams: Hparams, run: ContextParams, placement: Placement) -> bool:
    """Source: ``llama_context``: several devices, all layers on them, no overrides, cache with them."""
    return (
        len(placement.devices) > 1
        and run.gpu_layers > len(hparams.layers)
        and run.kv_offload
        and run.by_layers
        and not placement.has_overrides
        and (run.mixed or all(device.backend is not REMOTE_CPU for device in placement.devices))
    )


def telling(hparams: Hparams, placement: Placement) -> tuple[int, ...]:
    """The first and last blocks of every run of blocks that stand alike."""
    kinds = [standing(hparams, placement, number) for number in range(hparams.trunk)]
    kept: set[int] = set()
    start = 0
    while start < len(kinds):
        period, end = _run(kinds, start)
        count = max(KEPT_BLOCKS, period)
        skipped = max(0, end - start - 2 * count) // (ROUND * period) * ROUND * period
        kept |= set(range(start, min(start + count, end)))
        kept |= set(range(min(start + count + skipped, end), end))
        start = end
    return tuple(sorted(kept))


def standing(hparams: Hparams, placement: Placement, number: int) -> Standing:
    return hparams.kinds[number], placement.layer_device[number], placement.block_devices[number]


def _run(kinds: list[Standing], start: int) -> tuple[int, int]:
    """The period of the longest repetition from ``start``, and its end."""
    best = (1, start + 1)
    for period in range(1, 9):
        end = start + period
        while end < len(kinds) and kinds[end] == kinds[end - period]:
            end += 1
        if end - start >= 2 * period and end > best[1]:
            best = (period, end)
    return best
