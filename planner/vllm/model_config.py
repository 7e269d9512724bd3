"""What a model's config.json says of its memory: attention, caches and states of each block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import BadModelError
from domain.model import ModelShape

# config.json of the hub, and GGUF's names for the same, for shapes that were rebuilt from the catalogue.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "block_count"),
    "heads": ("num_attention_heads", "n_head", "attention.head_count"),
    "kv_heads": ("num_key_value_heads", "attention.head_count_kv"),
    "head_dim": ("head_dim", "attention.key_length"),
    "hidden": ("hidden_size", "n_embd", "embedding_length"),
    "native_context": ("max_position_embeddings", "n_positions", "context_length"),
    "vocab": ("vocab_size",),
    "inner": ("intermediate_size", "feed_forward_length"),
    "expert_inner": ("moe_intermediate_size", "expert_feed_forward_length", "intermediate_size"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts", "expert_count"),
    "experts_used": ("num_experts_per_tok", "experts_per_token", "top_k_experts", "expert_used_count"),
    "latent": ("kv_lora_rank", "attention.kv_lora_rank"),
    "latent_rope": ("qk_rope_head_dim", "rope.dimension_count"),
    "window": ("sliding_window", "attention.sliding_window"),
    "window_every": ("sliding_window_pattern", "_sliding_window_pattern"),
    "full_every": ("full_attention_interval",),
}
DEFAULT_CONTEXT = 4096


class Kind(StrEnum):
    """What a block keeps of the tokens before."""

    FULL = "full attention"
    WINDOW = "sliding window"
    LATENT = "latent attention"
    STATE = "recurrent state"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class State:
    """Of one recurrent block for one sequence: values of its convolution and of the state itself; ``kept``
    of them, for prefixes, where there is a prefix cache."""

    conv_values: int
    values: int
    kept: int


@dataclass(frozen=True, slots=True)
class Config:
    """``heads`` and ``kv_heads`` are those of all ranks together; ``latent`` values are cached for each
    token where attention is latent (MLA), its rotary part included. ``dtype`` is the weights' own."""

    blocks: tuple[Kind, ...]
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    native_context: int
    vocab: int | None = None
    inner: int | None = None
    expert_inner: int | None = None
    experts: int = 0
    experts_used: int = 0
    window: int = 0
    latent: int = 0
    state: State | None = None
    dtype: str = "bfloat16"
    is_tied: bool = False
    method: str | None = None

    @property
    def layers(self) -> int:
        return len(self.blocks)


def read(shape: ModelShape) -> Config:
    """Raises: BadModelError where config.json lacks what memory depends on."""
    heads, hidden = _need(shape, "heads"), _need(shape, "hidden")
    latent = number(shape, "latent") or 0
    dtype = word(shape, "dtype") or word(shape, "torch_dtype")
    return Config(
        blocks=_blocks(shape, _need(shape, "layers"), is_latent=bool(latent)),
        heads=heads,
        kv_heads=number(shape, "kv_heads") or heads,
        head_dim=number(shape, "head_dim") or hidden // heads,
        hidden=hidden,
        native_context=number(shape, "native_context") or DEFAULT_CONTEXT,
        vocab=number(shape, "vocab"),
        inner=number(shape, "inner"),
        expert_inner=number(shape, "expert_inner"),
        experts=number(shape, "experts") or 0,
        experts_used=number(shape, "experts_used") or 0,
        window=number(shape, "window") or 0,
        latent=latent + (number(shape, "latent_rope") or 0 if latent else 0),
        state=_state(shape, hidden),
        dtype=dtype or "bfloat16",
        is_tied=value(shape, "tie_word_embeddings") is True,
        method=method(shape),
    )


def method(shape: ModelShape) -> str | None:
    """The quantization of config.json; ``None`` of plain weights."""
    return word(shape, "quantization_config.quant_method")


def value(shape: ModelShape, key: str) -> object:
    """Of the model itself, or of the language part of a model that also sees."""
    for name in (f"{shape.architecture}.text_config.{key}", f"{shape.architecture}.{key}"):
        if name in shape.metadata:
            return shape.metadata[name]
    return None


def word(shape: ModelShape, key: str) -> str | None:
    found = value(shape, key)
    return found if isinstance(found, str) else None


def number(shape: ModelShape, field: str) -> int | None:
    """Above zero; ``field`` is one of ``_NAMES`` or a key of config.json."""
    for key in _NAMES.get(field, (field,)):
        found = value(shape, key)
        if isinstance(found, (int, float)) and not isinstance(found, bool) and found > 0:
            return int(found)
    return None


def _need(shape: ModelShape, field: str) -> int:
    found = number(shape, field)
    if found is None:
        raise BadModelError(f"config.json says nothing of {_NAMES[field][0]}")
    return found


_KINDS: Mapping[str, Kind] = {
    "full_attention": Kind.FULL,
    "attention": Kind.FULL,
    "sliding_attention": Kind.WINDOW,
    "linear_attention": Kind.STATE,
    "mamba": Kind.STATE,
    "M": Kind.STATE,
    "*": Kind.FULL,
    "-": Kind.NOTHING,
    "E": Kind.NOTHING,
}


def _blocks(shape: ModelShape, layers: int, *, is_latent: bool) -> tuple[Kind, ...]:
    """What config.json lists; else from its periods. A kind that is not known here is the dearest."""
    listed = value(shape, "layer_types") or value(shape, "hybrid_override_pattern")
    if isinstance(listed, Sequence) and len(listed) == layers:
        return tuple(_KINDS.get(str(kind), Kind.FULL) for kind in listed)
    if is_latent:
        return (Kind.LATENT,) * layers
    if every := number(shape, "full_every"):
        return tuple(Kind.STATE if (block + 1) % every else Kind.FULL for block in range(layers))
    if not number(shape, "window") or value(shape, "use_sliding_window") is False:
        return (Kind.FULL,) * layers
    if every := number(shape, "window_every"):
        return tuple(Kind.WINDOW if (block + 1) % every else Kind.FULL for block in range(layers))
    return (Kind.WINDOW,) * layers


# The state at the last whole block, and the one that is written; Mamba 2 keeps that of the prompt, too.
# Source: vLLM ``MambaSpec.max_memory_usage_bytes`` and ``mamba_mixer2.py``, num_prefill_checkpoint_blocks.
_KEPT, _KEPT_OF_MAMBA2 = 2, 3


def _state(shape: ModelShape, hidden: int) -> State | None:
    """Source: vLLM ``layers/mamba/mamba_utils.py``: gated_delta_net_state_shape, mamba2_state_shape."""
    if heads := number(shape, "linear_num_value_heads"):
        wide = number(shape, "linear_value_head_dim") or 128
        key_heads = number(shape, "linear_num_key_heads") or heads
        key = number(shape, "linear_key_head_dim") or wide
        kernel = number(shape, "linear_conv_kernel_dim") or 4
        return State((2 * key_heads * key + heads * wide) * (kernel - 1), heads * wide * key, _KEPT)
    heads = number(shape, "mamba_n_heads") or number(shape, "mamba_num_heads")
    if not heads:
        return None
    inner = hidden * (number(shape, "mamba_expand") or 2)
    wide = number(shape, "mamba_d_head") or number(shape, "mamba_head_dim") or inner // heads
    size = number(shape, "mamba_d_state") or number(shape, "ssm_state_size") or 128
    groups = number(shape, "mamba_n_groups") or number(shape, "n_groups") or 1
    kernel = number(shape, "mamba_d_conv") or number(shape, "conv_kernel") or 4
    conv = (heads * wide + 2 * groups * size) * (kernel - 1)
    return State(conv, heads * wide * size, _KEPT_OF_MAMBA2)
