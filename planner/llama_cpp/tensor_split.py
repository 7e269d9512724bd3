"""``-sm row`` and ``-sm tensor``: every matrix is split between the GPUs. The figures are upper bounds.

Each GPU gets its proportion of a matrix's rows, rounded up to whole granules, and a full copy of tensors that
are not matrices. ``tensor`` also splits the heads of the cache, and each GPU computes the whole batch of its
parts, which takes no more than on a single GPU. ``row`` assigns caches and batches by layer.

Source: llama.cpp ``llama_meta_device_get_split_state``, ggml-cuda's split buffers.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from domain.launches.plan import LlamaFlags
from domain.models.model import ModelShape, Tensor
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.memory import compute_buffers, kv_cache
from planner.llama_cpp.memory.components import ComponentMemory
from planner.llama_cpp.placement import HOST_ID, Placement, place_tensors, split_bounds
from planner.model.hparams import Hparams

MODES = ("row", "tensor")
GRANULE_ROWS = 128  # a head of common models, and of ggml-cuda's kernels
NOTE = "with -sm {mode} each GPU's figures are upper bounds: matrices are split by rows or heads"


def splits_matrices(flags: LlamaFlags, placement: Placement) -> bool:
    return flags.split_mode in MODES and len(placement.devices) > 1


def model_memory(
    shape: ModelShape,
    hparams: Hparams,
    cparams: ContextParams,
    flags: LlamaFlags,
    placement: Placement,
    overhead_bytes: int,
) -> ComponentMemory:
    shares = _shares(flags, placement)
    kv_bytes = kv_cache.bytes_per_device(hparams, cparams, placement)
    if flags.split_mode == "tensor":
        single_gpu_flags = replace(flags, split_mode="none")
        single_gpu = place_tensors(shape, hparams, single_gpu_flags, placement.devices[:1])
        single = compute_buffers.bytes_per_device(shape, hparams, cparams, single_gpu)
        compute = {HOST_ID: single[HOST_ID], **dict.fromkeys(range(len(shares)), single[0])}
        kv_bytes = _split_by_heads(kv_bytes, hparams, shares)
    else:
        compute = compute_buffers.bytes_per_device(shape, hparams, cparams, placement)
    note = NOTE.format(mode=flags.split_mode)
    weights = _weights(shape, placement, shares)
    return ComponentMemory(placement.devices, weights, kv_bytes, compute, overhead_bytes, (note,))


def _weights(shape: ModelShape, placement: Placement, shares: Sequence[float]) -> dict[int, int]:
    weights = {number: int(placement.duplicated * share) for number, share in enumerate(shares)}
    for tensor in shape.tensors:
        if placement.tensor_device.get(tensor.name, HOST_ID) != HOST_ID:
            for number, share in enumerate(shares):
                weights[number] += _share_bytes(tensor, share)
    weights[HOST_ID] = placement.weights[HOST_ID]
    return weights


def _split_by_heads(kv_bytes: dict[int, int], hparams: Hparams, shares: Sequence[float]) -> dict[int, int]:
    total_bytes = sum(size for number, size in kv_bytes.items() if number != HOST_ID)
    heads = min((layer.kv_heads for layer in hparams.layers if layer.kv_heads), default=1)
    per_gpu = {
        number: total_bytes * min(heads, -int(-share * heads // 1)) // heads
        for number, share in enumerate(shares)
    }
    return {HOST_ID: kv_bytes[HOST_ID], **per_gpu}


def _shares(flags: LlamaFlags, placement: Placement) -> Sequence[float]:
    bounds = [0.0, *split_bounds(flags, placement.devices)]
    return [upper - lower for lower, upper in pairwise(bounds)]


def _share_bytes(tensor: Tensor, share: float) -> int:
    """Bytes of a GPU's rows; a share of zero takes nothing."""
    if len(tensor.shape) < 2:
        return tensor.size_bytes
    if not share:
        return 0
    rows = prod(tensor.shape[1:])
    own_rows = min(rows, (int(share * rows) // GRANULE_ROWS + 1) * GRANULE_ROWS)
    return tensor.size_bytes * own_rows // rows
