"""Bytes per block of one model, summed once for a search that tries many splits."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.models.model import ModelShape
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.memory import kv_cache
from planner.llama_cpp.placement import INPUT_TENSORS, block_of, expert_layer, has_tied_embedding
from planner.model.hparams import Hparams


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """``dense_bytes`` and ``expert_bytes``: of each block. ``output_bytes``: what the last layer's device
    holds. ``input_bytes``: always on the host."""

    dense_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    output_bytes: int
    input_bytes: int

    @property
    def weights_bytes(self) -> int:
        return sum(self.dense_bytes) + sum(self.expert_bytes) + self.output_bytes + self.input_bytes

    @property
    def has_experts(self) -> bool:
        return any(self.expert_bytes)


def layer_sizes(shape: ModelShape, hparams: Hparams) -> LayerSizes:
    blocks = len(hparams.layers)
    dense_bytes, expert_bytes = [0] * blocks, [0] * blocks
    output_bytes = input_bytes = embedding_bytes = 0
    for tensor in shape.tensors:
        block = block_of(tensor.name)
        if block is not None and block >= hparams.main_blocks:
            continue
        if block is not None:
            target = dense_bytes if expert_layer(tensor.name) is None else expert_bytes
            target[block] += tensor.size_bytes
        elif tensor.name.partition(".")[0] in INPUT_TENSORS:
            input_bytes += tensor.size_bytes
            embedding_bytes += tensor.size_bytes if tensor.name == "token_embd.weight" else 0
        else:
            output_bytes += tensor.size_bytes
    if has_tied_embedding(shape):
        output_bytes += embedding_bytes
    return LayerSizes(tuple(dense_bytes), tuple(expert_bytes), output_bytes, input_bytes)


def kv_bytes_per_layer(hparams: Hparams, cparams: ContextParams) -> tuple[int, ...]:
    return tuple(kv_cache.layer_bytes(layer, hparams, cparams) for layer in hparams.layers)


def assign_layers(
    layer_bytes: Sequence[int], budgets: Sequence[int], output_bytes: int
) -> tuple[int, ...] | None:
    """How many of the consecutive layers go to each device so that none overflows; ``None`` if they don't
    fit.

    The last device with any also holds ``output_bytes``, which counts as one more layer."""
    counts = [0] * len(budgets)
    device, free_bytes = 0, budgets[0] if budgets else 0
    for size_bytes in (*layer_bytes, output_bytes):
        while device < len(budgets) and size_bytes > free_bytes:
            device += 1
            free_bytes = budgets[device] if device < len(budgets) else 0
        if device >= len(budgets):
            return None
        free_bytes -= size_bytes
        counts[device] += 1
    return tuple(counts)
