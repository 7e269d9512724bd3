"""Upper bounds of compute buffers, for architectures whose graph is not known.

A tensor of a graph lives no longer than until it was last read. So the bound takes the block whose matrices
have the widest results, all of them at once with a copy of each, and adds what lives through all blocks: the
residual, the inputs, the scores and the output. A test keeps the bound above what the engine reserves, for
every architecture that has a recipe, treated as if it had none.
"""

from collections.abc import Iterator
from math import prod

from domain.models.model import ModelShape, Tensor
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.graph.schedule import PIPELINE_COPIES
from planner.llama_cpp.memory import kv_cache
from planner.llama_cpp.placement import HOST_ID, INPUT_TENSORS, Placement, block_of, expert_layer
from planner.machine.devices import Backend
from planner.model.hparams import Hparams, Layer

F32, I64 = 4, 8
RESULT_COPIES = 2  # of a matrix's result: itself, and normed, rotated, gated or made contiguous
RESIDUAL_ROWS = 12  # rows as wide as the embedding that may be live at once: residuals, norms, sums
SHARED_COPIES = 6  # of what all blocks read: whole, transposed, in slices, and copied to each device
LOGITS_COPIES = 2  # logits, and logits scaled or capped


def bytes_per_device(
    shape: ModelShape, hparams: Hparams, cparams: ContextParams, placement: Placement, *, is_pipelined: bool
) -> dict[int, int]:
    """Bytes by device number."""
    tokens = -(-cparams.ubatch // cparams.sequences) * cparams.sequences
    pipeline_copies = PIPELINE_COPIES if is_pipelined else 1
    embeddings = 1 + hparams.image_layers
    common_bytes = F32 * tokens * RESIDUAL_ROWS * hparams.embedding_length
    common_bytes += pipeline_copies * F32 * tokens * _shared_tensor_width(shape)
    common_bytes += pipeline_copies * _input_bytes(hparams, cparams, tokens)
    common_bytes += pipeline_copies * 2 * embeddings * embeddings * F32 * tokens * hparams.embedding_length
    has_scores = _may_have_scores(shape, hparams, cparams, placement)
    block_bytes = max(_block_bytes(shape, hparams, cparams, tokens, has_scores=has_scores), default=0)
    output_bytes = LOGITS_COPIES * F32 * cparams.logits_rows * (hparams.vocab_size + hparams.embedding_length)
    bytes_by_device = {}
    for device in (HOST_ID, *range(len(placement.devices))):
        device_bytes = common_bytes
        if any(device in devices for devices in placement.block_devices) or not cparams.kv_offload:
            device_bytes += block_bytes
        if device == placement.output:
            device_bytes += output_bytes
        if device != HOST_ID:
            device_bytes += _staged_weight_bytes(shape, placement, placement.devices[device].backend)
        bytes_by_device[device] = device_bytes
    return bytes_by_device


def _may_have_scores(
    shape: ModelShape, hparams: Hparams, cparams: ContextParams, placement: Placement
) -> bool:
    """Whether flash attention is off or may be: scores are capped, or caches or states are on the host
    under ``-fa auto`` (``compute_buffers.resolve_flash_attention``)."""
    if not cparams.flash_attention or shape.get("attn_logit_softcapping") is not None:
        return True
    states_may_be_remote = not cparams.kv_offload or any(layer.is_recurrent for layer in hparams.layers)
    return cparams.flash_attention_auto and states_may_be_remote and bool(placement.devices)


def _block_bytes(
    shape: ModelShape, hparams: Hparams, cparams: ContextParams, tokens: int, *, has_scores: bool
) -> Iterator[int]:
    widths = [0] * len(hparams.layers)
    for tensor in shape.tensors:
        block = block_of(tensor.name)
        if block is not None and block < len(widths):
            widths[block] += _result_width(tensor, hparams)
    for width, layer in zip(widths, hparams.layers, strict=True):
        mixer_bytes = _mixer_bytes(layer, hparams, cparams, tokens, has_scores=has_scores)
        yield RESULT_COPIES * F32 * tokens * width + mixer_bytes


def _result_width(tensor: Tensor, hparams: Hparams) -> int:
    """Values per token that multiplying by this matrix gives."""
    if len(tensor.shape) < 2:
        return 0
    if expert_layer(tensor.name) is not None:
        return tensor.shape[1] * max(1, hparams.experts_used)
    return prod(tensor.shape[1:])


def _mixer_bytes(
    layer: Layer, hparams: Hparams, cparams: ContextParams, tokens: int, *, has_scores: bool
) -> int:
    """Attention over all cells, and the states of all sequences, read and written.

    ``has_scores``: whether the scores of all heads may exist as a tensor."""
    heads = max(1, layer.heads)
    values = RESULT_COPIES * heads * (layer.key_dim + max(layer.value_dim, hparams.mla_value_dim))
    if has_scores:
        values += 2 * heads * kv_cache.layer_cells(layer, hparams, cparams)
    state_values = (RESULT_COPIES + 1) * kv_cache.state_bytes(layer) * cparams.sequences
    return F32 * tokens * values + state_values


def _input_bytes(hparams: Hparams, cparams: ContextParams, tokens: int) -> int:
    """Masks over all cells, and an index for each value of a transposed V."""
    cells = max((kv_cache.layer_cells(layer, hparams, cparams) for layer in hparams.layers), default=0)
    mask_bytes = F32 * cells * tokens
    widest_v = max((layer.value_dim * layer.kv_heads for layer in hparams.layers), default=0)
    v_index_bytes = I64 * tokens * max(1, widest_v)
    return mask_bytes + 2 * v_index_bytes


def _shared_tensor_width(shape: ModelShape) -> int:
    """Widths of tables and matrices that belong to no block, without the embedding and the output."""
    return sum(
        SHARED_COPIES * tensor.shape[0 if tensor.name.partition(".")[0] in INPUT_TENSORS else 1]
        for tensor in shape.tensors
        if block_of(tensor.name) is None
        and len(tensor.shape) > 1
        and tensor.name not in ("token_embd.weight", "output.weight")
    )


def _staged_weight_bytes(shape: ModelShape, placement: Placement, backend: Backend) -> int:
    """Host weights that are copied to the device for a batch: those of one block and of the next."""
    if not backend.offloads_host_weights:
        return 0
    sizes: dict[int | None, int] = {}
    for tensor in shape.tensors:
        if (
            placement.tensor_device.get(tensor.name) == HOST_ID
            and tensor.name.partition(".")[0] not in INPUT_TENSORS
        ):
            block = block_of(tensor.name)
            sizes[block] = sizes.get(block, 0) + tensor.size_bytes
    return 2 * max(sizes.values(), default=0)
