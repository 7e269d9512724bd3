"""KV cache and recurrent states: what layers keep between tokens, per device.

Source: llama.cpp ``llama_kv_cache`` (a K and a V tensor per layer, K alone under MLA),
``llama_kv_cache_iswa`` (cells of the window), ``llama_memory_recurrent`` (two rows per sequence, F32, and as
many for each token that may be rolled back).
"""

from dataclasses import replace

from domain.models.ggml import BY_NAME, GgmlType
from planner.llama_cpp.context_params import CELL_PADDING, ContextParams, pad_up
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.model.hparams import Hparams, Layer

STATE_BYTES = 4  # recurrent states are F32


def window_cells(hparams: Hparams, cparams: ContextParams) -> int:
    """Cells per stream that a sliding-window layer keeps: the window of each sequence and one ubatch."""
    if cparams.swa_full:
        return cparams.context_per_sequence
    sequences = cparams.sequences if cparams.streams == 1 else 1
    cells = hparams.window * sequences + cparams.ubatch
    return pad_up(min(cparams.context_per_sequence, cells), CELL_PADDING)


def layer_cells(layer: Layer, hparams: Hparams, cparams: ContextParams) -> int:
    """Cells per stream of one attention layer. Without a cache, the tokens that are computed at once."""
    if not hparams.has_cache:
        return cparams.ubatch
    return window_cells(hparams, cparams) if layer.window else cparams.context_per_sequence


def cell_bytes(layer: Layer, hparams: Hparams, cparams: ContextParams) -> int:
    """Bytes of one cell of this layer, K and V."""
    if not layer.has_kv:
        return 0
    k_type, v_type = BY_NAME[cparams.cache_type_k], BY_NAME[cparams.cache_type_v]
    k_bytes = _row_bytes(k_type, layer.key_dim * layer.kv_heads)
    if hparams.is_mla:
        return k_bytes
    v_values = layer.value_dim * layer.kv_heads
    if cparams.values_transposed:  # padded to the widest layer's
        v_values = max(other.value_dim * other.kv_heads for other in hparams.layers)
    return k_bytes + _row_bytes(v_type, v_values)


def _row_bytes(kind: GgmlType, values: int) -> int:
    """Whole blocks. The engine refuses a row that is not a multiple of a block."""
    return -(-values // kind.block) * kind.block_bytes


def state_bytes(layer: Layer) -> int:
    """Bytes of the recurrent state of one sequence."""
    return (layer.conv_values + layer.state_values) * STATE_BYTES


def layer_bytes(layer: Layer, hparams: Hparams, cparams: ContextParams) -> int:
    cells = layer_cells(layer, hparams, cparams) * cparams.streams
    states = cparams.sequences * (1 + cparams.rollback_states)
    return cell_bytes(layer, hparams, cparams) * cells + state_bytes(layer) * states


def bytes_per_device(hparams: Hparams, cparams: ContextParams, placement: Placement) -> dict[int, int]:
    """Bytes by device number; without ``--kv-offload`` all on the host."""
    bytes_by_device = dict.fromkeys([HOST_ID, *range(len(placement.devices))], 0)
    is_plain_attention = not (hparams.is_mla or hparams.is_hybrid or hparams.window)
    for block, device in enumerate(placement.layer_device):
        layer = hparams.layers[block]
        if cparams.mtp_layers_cached and is_plain_attention and block >= hparams.main_blocks:
            layer = replace(layer, has_kv=True)
        bytes_by_device[device if cparams.kv_offload else HOST_ID] += layer_bytes(layer, hparams, cparams)
    return bytes_by_device


def read_bytes(layer: Layer, hparams: Hparams, cparams: ContextParams, depth_tokens: int) -> int:
    """Bytes of the layer's cache and state that one token at this depth reads."""
    visible_tokens = min(depth_tokens, layer.window) if layer.window else depth_tokens
    return cell_bytes(layer, hparams, cparams) * visible_tokens + state_bytes(layer)


def sequence_bytes(hparams: Hparams, cparams: ContextParams) -> int:
    """Bytes of one full sequence when it is saved to the prompt cache."""
    limit = cparams.context_per_sequence
    return sum(
        cell_bytes(layer, hparams, cparams) * min(layer_cells(layer, hparams, cparams), limit)
        + state_bytes(layer)
        for layer in hparams.layers
    )


def checkpoint_bytes(hparams: Hparams, cparams: ContextParams) -> int:
    """Bytes of one context checkpoint: what can't be rolled back, that is windows and states."""
    if hparams.can_roll_back or cparams.swa_full:
        return 0
    return sum(
        cell_bytes(layer, hparams, cparams) * min(layer.window, layer_cells(layer, hparams, cparams))
        + state_bytes(layer)
        for layer in hparams.layers
        if layer.window or layer.is_recurrent
    )
