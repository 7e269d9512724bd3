"""``-sm row`` and ``-sm tensor``: every matrix is cut between the GPUs. Bounds from above.

Each GPU gets its proportion of the rows of a matrix, whole granules of them, and all of what is no matrix.
Under ``tensor`` the heads of a cache are cut, too, and each GPU computes the whole batch of its parts: no
more than one GPU alone would. Under ``row`` caches and batches stand by layers.

Source: llama.cpp ``llama_meta_device_get_split_state``, ggml-cuda's split buffers.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from domain.model import ModelShape, Tensor
from domain.plan import LlamaFlags
from planner.llama_cpp import compute_buffers, kv_cache, placement
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.draft_models import Companion
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.model.hparams import Hparams

MODES = ("row", "tensor")
GRANULE = 128  # rows: a head of common models, and of ggml-cuda's kernels
NOTE = "with -sm {mode} each GPU's figures are bounds from above: matrices are cut by rows or heads"


def is_across(flags: LlamaFlags, where: Placement) -> bool:
    return flags.split_mode in MODES and len(where.devices) > 1


def companion(
    shape: ModelShape,
    hparams: Hparams,
    run: ContextParams,
    flags: LlamaFlags,
    where: Placement,
    overhead: int,
) -> Companion:
    shares = _shares(flags, where)
    weights = dict.fromkeys(range(len(shares)), 0)
    for tensor in shape.tensors:
        if where.tensor_device.get(tensor.name, HOST_ID) != HOST_ID:
            for number, share in enumerate(shares):
                weights[number] += _part(tensor, share)
    for number, share in enumerate(shares):
        weights[number] += int(where.duplicated * share)
    weights[HOST_ID] = where.weights[HOST_ID]
    cache = kv_cache.per_device(hparams, run, where)
    work = compute_buffers.per_device(shape, hparams, run, where)
    if flags.split_mode == "tensor":
        alone = replace(flags, split_mode="none")
        one = placement.place(shape, hparams, alone, where.devices[:1])
        most = compute_buffers.per_device(shape, hparams, run, one)
        work = {HOST_ID: most[HOST_ID], **dict.fromkeys(range(len(shares)), most[0])}
        every = sum(size for number, size in cache.items() if number != HOST_ID)
        heads = min((layer.kv_heads for layer in hparams.layers if layer.kv_heads), default=1)
        parts = {
            number: every * min(heads, -int(-share * heads // 1)) // heads
            for number, share in enumerate(shares)
        }
        cache = {HOST_ID: cache[HOST_ID], **parts}
    note = NOTE.format(mode=flags.split_mode)
    return Companion(where.devices, weights, cache, work, overhead, (note,))


def _shares(flags: LlamaFlags, where: Placement) -> Sequence[float]:
    bounds = [0.0, *placement.split_bounds(flags, where.devices)]
    return [upper - lower for lower, upper in pairwise(bounds)]


def _part(tensor: Tensor, share: float) -> int:
    """Bytes of a GPU's rows; a share of nothing takes nothing."""
    if len(tensor.shape) < 2:
        return tensor.size_bytes
    if not share:
        return 0
    rows = 1
    for count in tensor.shape[1:]:
        rows *= count
    mine = min(rows, (int(share * rows) // GRANULE + 1) * GRANULE)
    return tensor.size_bytes * mine // rows
