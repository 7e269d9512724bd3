"""Bytes per block of one model, added up once for a search that tries many splits."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.model import ModelShape
from planner.llama_cpp import kv_cache
from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import INPUT, block_of, expert_layer, is_tied
from planner.model.hparams import Hparams


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """``dense`` and ``experts`` of each block; ``output`` what stands with the last layer, ``input``
    on the host always."""

    dense: tuple[int, ...]
    experts: tuple[int, ...]
    output: int
    input: int

    @property
    def weights(self) -> int:
        return sum(self.dense) + sum(self.experts) + self.output + self.input

    @property
    def has_experts(self) -> bool:
        return any(self.experts)


def layer_sizes(shape: ModelShape, hparams: Hparams) -> LayerSizes:
    blocks = len(hparams.layers)
    dense, experts = [0] * blocks, [0] * blocks
    output = first = embedding = 0
    for tensor in shape.tensors:
        number = block_of(tensor.name)
        if number is not None and number >= hparams.trunk:
            continue
        if number is not None:
            of = dense if expert_layer(tensor.name) is None else experts
            of[number] += tensor.size_bytes
        elif tensor.name.partition(".")[0] in INPUT:
            first += tensor.size_bytes
            embedding += tensor.size_bytes if tensor.name == "token_embd.weight" else 0
        else:
            output += tensor.size_bytes
    if is_tied(shape.tensors):
        output += embedding
    return LayerSizes(tuple(dense), tuple(experts), output, first)


def cache_per_layer(hparams: Hparams, run: ContextParams) -> tuple[int, ...]:
    return tuple(kv_cache.layer_bytes(layer, hparams, run) for layer in hparams.layers)


def fill(costs: Sequence[int], rooms: Sequence[int], last: int) -> tuple[int, ...] | None:
    """How many of the consecutive ``costs`` go to each device so that none overflows; the last device
    with any also holds ``last``, which counts as one more layer. ``None`` where they do not fit."""
    counts = [0] * len(rooms)
    device, left = 0, rooms[0] if rooms else 0
    for cost in (*costs, last):
        while device < len(rooms) and cost > left:
            device += 1
            left = rooms[device] if device < len(rooms) else 0
        if device >= len(rooms):
            return None
        left -= cost
        counts[device] += 1
    return tuple(counts)
