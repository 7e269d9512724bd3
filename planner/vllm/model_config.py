"""A model's config.json, as far as memory depends on it: attention, caches and states of each layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import BadModelError
from domain.models.model import ModelShape

# Keys of config.json, and GGUF's names for the same, for shapes that were rebuilt from the catalogue.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "block_count"),
    "heads": ("num_attention_heads", "n_head", "attention.head_count"),
    "kv_heads": ("num_key_value_heads", "attention.head_count_kv"),
    "head_dim": ("head_dim", "attention.key_length"),
    "hidden_size": ("hidden_size", "n_embd", "embedding_length"),
    "trained_context_tokens": ("max_position_embeddings", "n_positions", "context_length"),
    "vocab_size": ("vocab_size",),
    "intermediate_size": ("intermediate_size", "feed_forward_length"),
    "expert_intermediate_size": ("moe_intermediate_size", "expert_feed_forward_length", "intermediate_size"),
    "expert_count": ("num_local_experts", "num_experts", "n_routed_experts", "expert_count"),
    "experts_used": ("num_experts_per_tok", "experts_per_token", "top_k_experts", "expert_used_count"),
    "kv_lora_rank": ("kv_lora_rank", "attention.kv_lora_rank"),
    "mla_rope_dim": ("qk_rope_head_dim", "rope.dimension_count"),
    "window": ("sliding_window", "attention.sliding_window"),
    "window_every": ("sliding_window_pattern", "_sliding_window_pattern"),
    "full_attention_every": ("full_attention_interval",),
}
DEFAULT_CONTEXT = 4096
MAX_BITS = 16
# Of the metadata: what sentence-transformers say in files of their own.
POOLING_KEY, CLS = "general.pooling", "cls"
MAX_TEXT_TOKENS = "general.max_text_tokens"
# Each token of these sees all others: a text is computed at once, and nothing of it is kept. Source: vLLM
# 0.32.0, ``config/model.py`` (attn_type), and the attention of its models.
BIDIRECTIONAL = frozenset(
    {"bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert", "gte", "eurobert", "camembert", "electra"}
    | {"jina_embeddings_v3", "llama_bidirec"}
)
ROBERTA = ("roberta", "xlm-roberta")


class LayerKind(StrEnum):
    """What a layer keeps of earlier tokens."""

    FULL = "full attention"
    WINDOW = "sliding window"
    LATENT = "latent attention"
    STATE = "recurrent state"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """Of one recurrent layer for one sequence: values of the convolution and of the state itself.
    ``states_kept``: the number of states with a prefix cache."""

    conv_values: int
    values: int
    states_kept: int


@dataclass(frozen=True, slots=True)
class Config:
    """``heads`` and ``kv_heads``: of all ranks together. ``mla_width``: values cached per token under latent
    attention (MLA), including the rotary part; else 0. ``dtype``: that of the weights."""

    layer_kinds: tuple[LayerKind, ...]
    heads: int
    kv_heads: int
    head_dim: int
    hidden_size: int
    trained_context_tokens: int
    vocab_size: int | None = None
    intermediate_size: int | None = None
    expert_intermediate_size: int | None = None
    expert_count: int = 0
    experts_used: int = 0
    window: int = 0
    mla_width: int = 0
    state: RecurrentState | None = None
    dtype: str = "bfloat16"
    is_tied: bool = False
    method: str | None = None

    @property
    def layers(self) -> int:
        return len(self.layer_kinds)


def read_config(shape: ModelShape) -> Config:
    """Raises: BadModelError if config.json lacks a value that memory depends on."""
    heads, hidden_size = _required_int(shape, "heads"), _required_int(shape, "hidden_size")
    kv_lora_rank = config_int(shape, "kv_lora_rank") or 0
    dtype = config_str(shape, "dtype") or config_str(shape, "torch_dtype")
    return Config(
        layer_kinds=_layer_kinds(shape, _required_int(shape, "layers"), is_mla=bool(kv_lora_rank)),
        heads=heads,
        kv_heads=config_int(shape, "kv_heads") or heads,
        head_dim=config_int(shape, "head_dim") or hidden_size // heads,
        hidden_size=hidden_size,
        trained_context_tokens=_trained_context_tokens(shape),
        vocab_size=config_int(shape, "vocab_size"),
        intermediate_size=config_int(shape, "intermediate_size"),
        expert_intermediate_size=config_int(shape, "expert_intermediate_size"),
        expert_count=config_int(shape, "expert_count") or 0,
        experts_used=config_int(shape, "experts_used") or 0,
        window=config_int(shape, "window") or 0,
        mla_width=kv_lora_rank + (config_int(shape, "mla_rope_dim") or 0) if kv_lora_rank else 0,
        state=_recurrent_state(shape, hidden_size),
        dtype=dtype or "bfloat16",
        is_tied=config_value(shape, "tie_word_embeddings") is True,
        method=quant_method(shape),
    )


def _trained_context_tokens(shape: ModelShape) -> int:
    """Of a text that is embedded what sentence-transformers allow; RoBERTa's first positions are for
    padding."""
    told = shape.metadata.get(MAX_TEXT_TOKENS)
    if isinstance(told, int) and told > 0:
        return told
    tokens = config_int(shape, "trained_context_tokens") or DEFAULT_CONTEXT
    return tokens - 2 if shape.architecture in ROBERTA and tokens > 2 else tokens


def quant_method(shape: ModelShape) -> str | None:
    """The quantization that config.json names; ``None`` for plain weights."""
    return config_str(shape, "quantization_config.quant_method")


_BITS_KEYS = ("config_groups.group_0.weights.num_bits", "bits", "w_bit")


def weight_bits(shape: ModelShape) -> int | None:
    """Of the integers that weights are packed as; ``None`` where config.json does not say."""
    found = (config_int(shape, f"quantization_config.{key}") for key in _BITS_KEYS)
    return next((bits for bits in found if bits is not None and bits <= MAX_BITS), None)


def config_value(shape: ModelShape, key: str) -> object:
    """The value of ``key``, of the language part first if the model has several."""
    for full_key in (f"{shape.architecture}.text_config.{key}", f"{shape.architecture}.{key}"):
        if full_key in shape.metadata:
            return shape.metadata[full_key]
    return None


def config_str(shape: ModelShape, key: str) -> str | None:
    value = config_value(shape, key)
    return value if isinstance(value, str) else None


def config_int(shape: ModelShape, name: str) -> int | None:
    """A value above zero, else ``None``; of a list with one for each layer the largest. ``name`` is one of
    ``_KEYS`` or a key of config.json."""
    for key in _KEYS.get(name, (name,)):
        value = config_value(shape, key)
        if isinstance(value, tuple):
            numbers = [
                item for item in value if isinstance(item, (int, float)) and not isinstance(item, bool)
            ]
            value = max(numbers, default=None)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return int(value)
    return None


def _required_int(shape: ModelShape, name: str) -> int:
    value = config_int(shape, name)
    if value is None:
        raise BadModelError(f"config.json has no {_KEYS[name][0]}")
    return value


_KINDS: Mapping[str, LayerKind] = {
    "full_attention": LayerKind.FULL,
    "attention": LayerKind.FULL,
    "sliding_attention": LayerKind.WINDOW,
    "linear_attention": LayerKind.STATE,
    "mamba": LayerKind.STATE,
    "M": LayerKind.STATE,
    "*": LayerKind.FULL,
    "-": LayerKind.NOTHING,
    "E": LayerKind.NOTHING,
}


def is_bidirectional(shape: ModelShape) -> bool:
    """Whether nothing of a text is kept for the next token: there is no KV cache."""
    return (
        shape.architecture in BIDIRECTIONAL
        or shape.get("is_causal") is False
        or shape.get("use_bidirectional_attention") is True
        or shape.metadata.get(POOLING_KEY) == CLS
    )


def _layer_kinds(shape: ModelShape, layers: int, *, is_mla: bool) -> tuple[LayerKind, ...]:
    """As config.json lists them, else from its periods. An unknown kind counts as full attention, which takes
    the most."""
    if is_bidirectional(shape):
        return (LayerKind.NOTHING,) * layers
    kinds_in_config = config_value(shape, "layer_types") or config_value(shape, "hybrid_override_pattern")
    if isinstance(kinds_in_config, Sequence) and len(kinds_in_config) == layers:
        return tuple(_KINDS.get(str(kind), LayerKind.FULL) for kind in kinds_in_config)
    if is_mla:
        return (LayerKind.LATENT,) * layers
    if period := config_int(shape, "full_attention_every"):
        return tuple(LayerKind.STATE if (block + 1) % period else LayerKind.FULL for block in range(layers))
    has_windows = config_int(shape, "window") and config_value(shape, "use_sliding_window") is not False
    period = config_int(shape, "window_every") if has_windows else 1
    return tuple(
        LayerKind.WINDOW if has_windows and (not period or (block + 1) % period) else LayerKind.FULL
        for block in range(layers)
    )


# The state at the last whole block, and the one being written; Mamba 2 also keeps that of the prompt.
# Source: vLLM ``MambaSpec.max_memory_usage_bytes`` and ``mamba_mixer2.py``, num_prefill_checkpoint_blocks.
_STATES, _STATES_OF_MAMBA2 = 2, 3


def _recurrent_state(shape: ModelShape, hidden_size: int) -> RecurrentState | None:
    """Source: vLLM ``layers/mamba/mamba_utils.py``: gated_delta_net_state_shape, mamba2_state_shape."""
    if heads := config_int(shape, "linear_num_value_heads"):
        head_dim = config_int(shape, "linear_value_head_dim") or 128
        key_heads = config_int(shape, "linear_num_key_heads") or heads
        key_dim = config_int(shape, "linear_key_head_dim") or head_dim
        kernel = config_int(shape, "linear_conv_kernel_dim") or 4
        channels = 2 * key_heads * key_dim + heads * head_dim
        return RecurrentState(channels * (kernel - 1), heads * head_dim * key_dim, _STATES)
    heads = config_int(shape, "mamba_n_heads") or config_int(shape, "mamba_num_heads")
    if not heads:
        return None
    inner_size = hidden_size * (config_int(shape, "mamba_expand") or 2)
    default_dim = inner_size // heads
    head_dim = config_int(shape, "mamba_d_head") or config_int(shape, "mamba_head_dim") or default_dim
    state_size = config_int(shape, "mamba_d_state") or config_int(shape, "ssm_state_size") or 128
    groups = config_int(shape, "mamba_n_groups") or config_int(shape, "n_groups") or 1
    kernel = config_int(shape, "mamba_d_conv") or config_int(shape, "conv_kernel") or 4
    conv_values = (heads * head_dim + 2 * groups * state_size) * (kernel - 1)
    return RecurrentState(conv_values, heads * head_dim * state_size, _STATES_OF_MAMBA2)
