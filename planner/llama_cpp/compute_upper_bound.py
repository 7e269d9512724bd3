"""The most that a batch of an architecture without a recipe can need of each device.

No two of a graph's parts live longer than they are read. So the bound takes the block whose matrices
give the widest results, all of them at once with a copy of each, and adds what stands beside every
block: the stream, the inputs, the scores and the output. A test holds it above what the engine
reserved, for every architecture that has a recipe, as if it had none.
"""

from collections.abc import Iterator

from domain.model import ModelShape, Tensor
from planner.llama_cpp import kv_cache
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.graph.schedule import PIPELINE_COPIES
from planner.llama_cpp.placement import HOST_ID, INPUT, Placement, block_of, expert_layer
from planner.machine.devices import Backend
from planner.model.hparams import Hparams, Layer

F32, I64 = 4, 8
COPIES = 2  # of a matrix's result: as it comes, and normed, rotated, gated or laid out anew
STREAMS = 12  # rows as wide as the embedding that may stand at once: several streams, norms, sums
SHARED = 6  # of what all blocks read: whole, turned, in slices, and fetched again by each device
OUTPUTS = 2  # logits, and logits scaled or capped


def per_device(
    shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement, *, pipelined: bool
) -> dict[int, int]:
    """Bytes by device number."""
    tokens = -(-run.ubatch // run.sequences) * run.sequences
    copies = PIPELINE_COPIES if pipelined else 1
    images = 1 + hparams.image_layers
    beside = tokens * F32 * (STREAMS * hparams.embd + copies * _tables(shape))
    beside += copies * (_inputs(hparams, run, tokens) + 2 * images * images * F32 * tokens * hparams.embd)
    scores = _may_have_scores(shape, hparams, run, placement)
    block = max(_blocks(shape, hparams, run, tokens, scores=scores), default=0)
    output = OUTPUTS * F32 * run.logits_rows * (hparams.vocab + hparams.embd)
    found = {}
    for number in (HOST_ID, *range(len(placement.devices))):
        bytes_ = beside
        if any(number in devices for devices in placement.block_devices) or not run.kv_offload:
            bytes_ += block
        if number == placement.output:
            bytes_ += output
        if number != HOST_ID:
            bytes_ += _fetched(shape, placement, placement.devices[number].backend)
        found[number] = bytes_
    return found


def _may_have_scores(shape: ModelShape, hparams: Hparams, run: ContextParams, placement: Placement) -> bool:
    """Whether flash attention is off or might be: for scores that are capped, or under ``-fa auto``
    with caches or states on the host (``compute.settled``)."""
    if not run.flash_attention or shape.get("attn_logit_softcapping") is not None:
        return True
    apart = not run.kv_offload or any(layer.is_recurrent for layer in hparams.layers)
    return run.flash_attention_auto and apart and bool(placement.devices)


def _blocks(
    shape: ModelShape, hparams: Hparams, run: ContextParams, tokens: int, *, scores: bool
) -> Iterator[int]:
    widths = [0] * len(hparams.layers)
    for tensor in shape.tensors:
        number = block_of(tensor.name)
        if number is not None and number < len(widths):
            widths[number] += _result_width(tensor, hparams)
    for width, layer in zip(widths, hparams.layers, strict=True):
        yield COPIES * F32 * tokens * width + _mixer(layer, hparams, run, tokens, scores=scores)


def _result_width(tensor: Tensor, hparams: Hparams) -> int:
    """Values that a token gets from this matrix."""
    if len(tensor.shape) < 2:
        return 0
    if expert_layer(tensor.name) is not None:
        return tensor.shape[1] * max(1, hparams.experts_used)
    rows = 1
    for count in tensor.shape[1:]:
        rows *= count
    return rows


def _mixer(layer: Layer, hparams: Hparams, run: ContextParams, tokens: int, *, scores: bool) -> int:
    """Attention over all cells, and the states of all sequences, read and written. ``scores``: whether
    those of all heads may stand somewhere; some that cap them have no flash attention."""
    heads = max(1, layer.heads)
    values = COPIES * heads * (layer.key_dim + max(layer.value_dim, hparams.mla_value_dim))
    if scores:
        values += 2 * heads * kv_cache.cells(layer, hparams, run)
    states = (COPIES + 1) * kv_cache.state_bytes(layer) * run.sequences
    return F32 * tokens * values + states


def _inputs(hparams: Hparams, run: ContextParams, tokens: int) -> int:
    """Masks over all cells, and where each value of a transposed V goes."""
    cells = max((kv_cache.cells(layer, hparams, run) for layer in hparams.layers), default=0)
    mask = F32 * cells * tokens
    widest = max((layer.value_dim * layer.kv_heads for layer in hparams.layers), default=0)
    places = I64 * tokens * max(1, widest)
    return mask + 2 * places


def _tables(shape: ModelShape) -> int:
    """Widths of tables and matrices that belong to no block, the vocabulary's own two left out."""
    return sum(
        SHARED * (tensor.shape[0] if tensor.name.partition(".")[0] in INPUT else tensor.shape[1])
        for tensor in shape.tensors
        if block_of(tensor.name) is None
        and len(tensor.shape) > 1
        and tensor.name not in ("token_embd.weight", "output.weight")
    )


def _fetched(shape: ModelShape, placement: Placement, backend: Backend) -> int:
    """Weights of the host that are copied to the device for a batch: those of one block, and the next's."""
    if not backend.offloads_host_weights:
        return 0
    sizes: dict[int | None, int] = {}
    for tensor in shape.tensors:
        if placement.tensor_device.get(tensor.name) == HOST_ID and tensor.name.partition(".")[0] not in INPUT:
            number = block_of(tensor.name)
            sizes[number] = sizes.get(number, 0) + tensor.size_bytes
    return 2 * max(sizes.values(), default=0)
