"""What attention and recurrent layers keep between tokens, per device.

Source: llama.cpp ``llama_kv_cache`` (a K and a V tensor per layer, K alone under MLA),
``llama_kv_cache_iswa`` (cells of the window), ``llama_memory_recurrent`` (two rows per sequence, F32).
"""

from dataclasses import replace

from domain.errors import UsageError
from domain.ggml import BY_NAME, GgmlType
from planner.llama_cpp.context_params import CELL_PADDING, ContextParams, padded
from planner.llama_cpp.placement import HOST_ID, Placement
from planner.model.hparams import Hparams, Layer

STATE_BYTES = 4  # recurrent states are F32


def window_cells(hparams: Hparams, run: ContextParams) -> int:
    """Cells per stream that a sliding-window layer keeps: the window of each sequence and one ubatch."""
    if run.swa_full:
        return run.context_per_sequence
    sequences = run.sequences if run.streams == 1 else 1
    wanted = hparams.window * sequences + run.ubatch
    return padded(min(run.context_per_sequence, wanted), CELL_PADDING)


def cells(layer: Layer, hparams: Hparams, run: ContextParams) -> int:
    """Cells per stream of one attention layer."""
    return window_cells(hparams, run) if layer.window else run.context_per_sequence


def cache_type(name: str) -> GgmlType:
    try:
        return BY_NAME[name]
    except KeyError:
        raise UsageError(f"{name.lower()} is no type of a KV cache") from None


def token_bytes(layer: Layer, hparams: Hparams, run: ContextParams) -> int:
    """Bytes that one cell of this layer takes, K and V."""
    if not layer.has_kv:
        return 0
    k_type, v_type = cache_type(run.cache_type_k), cache_type(run.cache_type_v)
    k_bytes = _row(k_type, layer.key_dim * layer.kv_heads)
    if hparams.is_mla:
        return k_bytes
    values = layer.value_dim * layer.kv_heads
    if run.values_transposed:  # padded to the widest layer's
        values = max(one.value_dim * one.kv_heads for one in hparams.layers)
    return k_bytes + _row(v_type, values)


def _row(kind: GgmlType, values: int) -> int:
    """A row that blocks do not divide is refused by the engine; here it takes whole blocks."""
    return -(-values // kind.block) * kind.block_bytes


def state_bytes(layer: Layer) -> int:
    """Bytes of the recurrent state of one sequence."""
    return (layer.recurrent_r + layer.recurrent_s) * STATE_BYTES


def layer_bytes(layer: Layer, hparams: Hparams, run: ContextParams) -> int:
    attention = token_bytes(layer, hparams, run) * cells(layer, hparams, run) * run.streams
    return attention + state_bytes(layer) * run.sequences


def per_device(hparams: Hparams, run: ContextParams, placement: Placement) -> dict[int, int]:
    """Bytes by device number; all on the host without --kv-offload."""
    found = dict.fromkeys([HOST_ID, *range(len(placement.devices))], 0)
    plain = not (hparams.is_mla or hparams.is_hybrid or hparams.window)
    for number, device in enumerate(placement.layer_device):
        layer = hparams.layers[number]
        if run.guessers_cached and plain and number >= hparams.trunk:
            layer = replace(layer, has_kv=True)
        found[device if run.kv_offload else HOST_ID] += layer_bytes(layer, hparams, run)
    return found


def read_bytes(layer: Layer, hparams: Hparams, run: ContextParams, depth_tokens: int) -> int:
    """Bytes that one token at this depth reads of what the layer keeps."""
    seen = min(depth_tokens, layer.window) if layer.window else depth_tokens
    return token_bytes(layer, hparams, run) * seen + state_bytes(layer)


def sequence_bytes(hparams: Hparams, run: ContextParams) -> int:
    """Bytes of one full sequence when it is saved to the prompt cache."""
    return sum(
        token_bytes(layer, hparams, run) * min(cells(layer, hparams, run), run.context_per_sequence)
        + state_bytes(layer)
        for layer in hparams.layers
    )


def checkpoint_bytes(hparams: Hparams, run: ContextParams) -> int:
    """Bytes of one context checkpoint: what cannot be rolled back, windows and states."""
    if hparams.can_roll_back or run.swa_full:
        return 0
    return sum(
        token_bytes(layer, hparams, run) * min(layer.window, cells(layer, hparams, run)) + state_bytes(layer)
        for layer in hparams.layers
        if layer.window or layer.is_recurrent
    )
