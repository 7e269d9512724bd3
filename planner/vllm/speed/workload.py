"""What one token does: bytes that it reads, weights that it is multiplied with, layers that it passes."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.models.model import ModelShape
from planner.vllm.model_config import Config, LayerKind, config_int, weight_bits
from planner.vllm.weights.tensors import EMBEDDING, ENCODERS, EXPERTS, OUTPUT, TensorGroup, loaded_tensors

EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts")
EXPERT_COUNT = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
# Bits per weight including scales, for shapes without tensors.
PACKED_BITS = {
    "NVFP4": 4.5,
    "MXFP4": 4.25,
    "AWQ": 4.25,
    "GPTQ": 4.25,
    "INT4": 4.25,
    "FP8": 8.0,
    "INT8": 8.0,
    "F32": 32.0,
}
DEFAULT_BITS = 16.0
TYPE_BITS = {"F32": 32, "F16": 16, "BF16": 16, "I8": 8}  # of stored weights; F8_* are told by their name
WORD_BITS = 4  # of weights that are packed into words
_SCALES = ("scale", "scales", "scale_inv", "zeros", "zero_point", "g_idx")


@dataclass(frozen=True, slots=True)
class Workload:
    """Of all ranks together. A token reads ``dense_bytes`` and ``expert_share`` of ``expert_bytes``, and is
    multiplied with as many of their values. ``attention_width``: heads times their size, summed over layers
    that see all tokens; ``window_width`` over those that see ``window``."""

    quant: str
    dense_bytes: float
    expert_bytes: float
    expert_share: float
    dense_values: float
    expert_values: float
    layers: int
    moe_layers: int
    recurrent_layers: int
    hidden_size: int
    attention_width: int = 0
    window_width: int = 0
    window: int = 0

    def share_of_experts(self, tokens: int) -> float:
        """That any of ``tokens`` uses."""
        return 1.0 - (1.0 - self.expert_share) ** tokens


def workload_of(shape: ModelShape, config: Config, quant: str) -> Workload:
    """From a safetensors header. A shape without tensors counts as dense."""
    groups = loaded_tensors(shape, config)
    is_tied = not any(OUTPUT.search(group.name) for group in groups)
    experts = [group for group in groups if EXPERTS.search(group.name)]
    dense = [
        group
        for group in groups
        if not EXPERTS.search(group.name)
        and (is_tied or not EMBEDDING.search(group.name))
        and not ENCODERS.search(group.name)
    ]
    expert_bytes = sum(group.size_bytes for group in experts)
    dense_bytes = sum(group.size_bytes for group in dense) or shape.file_bytes - expert_bytes
    used, count = _first_number(shape, EXPERTS_USED), _first_number(shape, EXPERT_COUNT)
    word_bits = weight_bits(shape) or (8 if quant.upper() == "INT8" else WORD_BITS)
    kinds, width = config.layer_kinds, config.heads * config.head_dim
    full = sum(kind in (LayerKind.FULL, LayerKind.LATENT) for kind in kinds)
    return Workload(
        quant=quant.upper(),
        dense_bytes=dense_bytes,
        expert_bytes=expert_bytes,
        expert_share=min(1.0, used / count) if used and count else 1.0,
        dense_values=_values(dense, word_bits)
        or 8 * dense_bytes / PACKED_BITS.get(quant.upper(), DEFAULT_BITS),
        expert_values=_values(experts, word_bits),
        layers=config.layers,
        moe_layers=config.layers - (config_int(shape, "first_k_dense_replace") or 0) if experts else 0,
        recurrent_layers=sum(kind is LayerKind.STATE for kind in kinds),
        hidden_size=config.hidden_size,
        attention_width=full * width,
        window_width=sum(kind is LayerKind.WINDOW for kind in kinds) * width,
        window=config.window,
    )


def _values(groups: Sequence[TensorGroup], word_bits: int) -> float:
    return sum(
        8 * group.size_bytes / _bits(group, word_bits) for group in groups if not _is_scale(group.name)
    )


def _is_scale(name: str) -> bool:
    return name.endswith(_SCALES) or "_scale" in name.rpartition(".")[2]


def _bits(group: TensorGroup, word_bits: int) -> float:
    return 8.0 if group.type.startswith("F8") else TYPE_BITS.get(group.type, word_bits)


def _first_number(shape: ModelShape, names: Sequence[str]) -> float | None:
    for name in names:
        for key in (f"{shape.architecture}.{name}", f"{shape.architecture}.text_config.{name}"):
            value = shape.metadata.get(key)
            if isinstance(value, (int, float)) and value > 0:
                return float(value)
    return None
