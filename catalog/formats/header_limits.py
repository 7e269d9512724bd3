"""What a header may say: checked here alone, for every format, before anything computes with it.

A number out of its range makes a plan that never ends, or sizes beyond what 64 bits hold. The ranges are
several times what the largest models have (Llama 4: a context of 10 M; Kimi K2: 384 experts, 210,000 tensors;
Llama 3.1 405B: 126 layers, 16,384 wide).
"""

import re
from collections.abc import Mapping, Sequence
from math import prod

from domain.errors import BadModelError
from domain.models.model import ModelShape, Tensor

MAX_TENSORS = 1 << 18
MAX_DIMENSIONS = 8
MAX_NAME_CHARS = 512  # of a tensor or key
MAX_TITLE_CHARS = 1024
MAX_VALUES = 1 << 62  # of one tensor
SHOWN_CHARS = 60  # of a value in a message

_LAYERS, _WIDTH, _HEADS, _EXPERTS, _TOKENS = 1 << 10, 1 << 20, 1 << 16, 1 << 14, (1 << 32) - 1
# Keys without their architecture: the least and the most that a model has. GGUF's names, then config.json's.
RANGES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("block_count", "num_hidden_layers", "n_layer"), (1, _LAYERS)),
    **dict.fromkeys(("embedding_length", "hidden_size", "n_embd"), (8, _WIDTH)),
    **dict.fromkeys(("context_length", "max_position_embeddings", "n_positions"), (1, _TOKENS)),
    **dict.fromkeys(("num_attention_heads", "n_head"), (1, _HEADS)),
    **dict.fromkeys(
        ("attention.head_count", "attention.head_count_kv", "num_key_value_heads", "linear_num_value_heads"),
        (0, _HEADS),
    ),
    **dict.fromkeys(("linear_num_key_heads", "mamba_n_heads", "mamba_num_heads"), (0, _HEADS)),
    **dict.fromkeys(
        (
            *("attention.key_length", "attention.value_length", "attention.key_length_mla"),
            *("attention.value_length_mla", "attention.key_length_swa", "attention.value_length_swa"),
            *("attention.kv_lora_rank", "attention.indexer.key_length", "rope.dimension_count"),
            *("kda.head_dim", "wkv.head_size", "head_dim", "kv_lora_rank", "qk_rope_head_dim"),
            *("linear_value_head_dim", "linear_key_head_dim", "mamba_d_head", "mamba_head_dim"),
        ),
        (0, _HEADS),
    ),
    **dict.fromkeys(
        (
            *("feed_forward_length", "expert_feed_forward_length", "expert_shared_feed_forward_length"),
            *("intermediate_size", "moe_intermediate_size", "ssm.inner_size"),
        ),
        (0, 1 << 24),
    ),
    **dict.fromkeys(
        (
            *("ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "ssm_state_size", "mamba_d_state"),
            *("mamba_n_groups", "n_groups"),
        ),
        (0, _HEADS),
    ),
    **dict.fromkeys(
        ("ssm.conv_kernel", "shortconv.l_cache", "mamba_d_conv", "conv_kernel", "linear_conv_kernel_dim"),
        (0, 1 << 10),
    ),
    **dict.fromkeys(("token_shift_count", "mamba_expand"), (0, 64)),
    **dict.fromkeys(
        (
            *("expert_count", "expert_used_count", "expert_shared_count", "num_local_experts", "num_experts"),
            *("n_routed_experts", "num_experts_per_tok", "experts_per_token", "top_k_experts"),
        ),
        (0, _EXPERTS),
    ),
    **dict.fromkeys(
        (
            *("nextn_predict_layers", "n_deepstack_layers", "attention.shared_kv_layers"),
            *("full_attention_interval", "leading_dense_block_count"),
        ),
        (0, _LAYERS),
    ),
    **dict.fromkeys(("attention.sliding_window", "sliding_window"), (0, _TOKENS)),
    "vocab_size": (0, 1 << 24),
}
# One value for each layer where they are lists, as llama.cpp demands (``get_key_or_arr``).
PER_LAYER = frozenset(
    {"attention.head_count", "attention.head_count_kv", "feed_forward_length", "attention.recurrent_layers"}
)
TITLES = (
    "general.architecture",
    "general.name",
    "general.basename",
    "general.finetune",
    "general.size_label",
)
NO_MORE_THAN = (  # the first of each pair is no more than the second
    ("expert_used_count", "expert_count"),
    ("attention.shared_kv_layers", "block_count"),
    ("n_deepstack_layers", "block_count"),
)
# Without a size of their own, heads share the width: no more of them than values.
HEADS_OF_WIDTH = (
    ("attention.head_count", "embedding_length", "attention.key_length"),
    ("num_attention_heads", "hidden_size", "head_dim"),
    ("n_head", "n_embd", "head_dim"),
)
_BLOCK = re.compile(r"blk\.(\d{1,9})\.", re.ASCII)


def check_shape(name: str, shape: ModelShape) -> None:
    """Raises: BadModelError with the file ``name``, the key or tensor, its value, and what is expected."""
    _check_texts(name, shape)
    for key in RANGES:
        for full_key in (f"{shape.architecture}.{key}", f"{shape.architecture}.text_config.{key}"):
            if full_key in shape.metadata:
                _check_number(name, full_key, shape.metadata[full_key], *RANGES[key])
    layers = shape.get("block_count")
    if isinstance(layers, int):
        _check_lists(name, shape, layers)
    for key, other in NO_MORE_THAN:
        value, most = _largest(shape.get(key)), _largest(shape.get(other))
        if value > most > 0:
            raise _refused(name, f"{shape.architecture}.{key}", value, f"{other} is {most}")
    _check_heads(name, shape)
    for part in ("", "text_config."):
        for key, width, size in HEADS_OF_WIDTH:
            heads, most = _largest(shape.get(part + key)), _largest(shape.get(part + width))
            if heads > most > 0 and not shape.get(part + size):
                raise _refused(name, f"{shape.architecture}.{part}{key}", heads, f"{width} is {most}")
    _check_tensors(name, shape, layers if isinstance(layers, int) else None)


def check_tensor(file: str, name: str, dimensions: tuple[int, ...]) -> None:
    """Raises: BadModelError for a size that no tensor has."""
    if len(name) > MAX_NAME_CHARS:
        raise BadModelError(f"{file}: the name {_shown(name)} of a tensor has {len(name)} characters")
    is_possible = len(dimensions) <= MAX_DIMENSIONS and all(
        type(size) is int and 0 < size <= MAX_VALUES for size in dimensions
    )
    if not is_possible or prod(dimensions) > MAX_VALUES:
        raise BadModelError(f"{file}: the tensor {_shown(name)} has the dimensions {_shown(dimensions)}")


def _check_texts(name: str, shape: ModelShape) -> None:
    if long := next((key for key in shape.metadata if len(key) > MAX_NAME_CHARS), None):
        raise BadModelError(f"{name}: a key of its header has {len(long)} characters: {_shown(long)}")
    for key in TITLES:
        value = shape.metadata.get(key)
        if isinstance(value, str) and len(value) > MAX_TITLE_CHARS:
            raise _refused(name, key, value, f"{len(value)} characters, more than {MAX_TITLE_CHARS}")
    if not shape.architecture.isprintable() or not shape.architecture.isascii():
        raise _refused(name, "general.architecture", shape.architecture, "it has characters that no name has")


def _check_number(name: str, key: str, value: object, low: int, high: int) -> None:
    for item in value if isinstance(value, tuple) else (value,):
        is_whole = type(item) is int or (isinstance(item, float) and item.is_integer())  # JSON: 4096.0
        if not is_whole or not low <= item <= high:
            raise _refused(name, key, value, f"expected a whole number from {low} to {high}")


def _largest(value: object) -> float:
    """Of a number or a list of them. 0 for none."""
    numbers = value if isinstance(value, tuple) else (value,)
    return max((number for number in numbers if isinstance(number, int | float)), default=0)


def _check_lists(name: str, shape: ModelShape, layers: int) -> None:
    for key in PER_LAYER:
        value = shape.get(key)
        if isinstance(value, tuple) and len(value) != layers:
            raise _refused(
                name, f"{shape.architecture}.{key}", value, f"{len(value)} values, {layers} layers"
            )


def _check_heads(name: str, shape: ModelShape) -> None:
    """Each KV head serves the same number of heads."""
    heads, kv_heads = shape.get("attention.head_count"), shape.get("attention.head_count_kv")
    if not isinstance(heads, int) or not isinstance(kv_heads, int) or not kv_heads:
        return
    if heads % kv_heads:
        raise _refused(name, f"{shape.architecture}.attention.head_count_kv", kv_heads, f"of {heads} heads")


def _check_tensors(name: str, shape: ModelShape, layers: int | None) -> None:
    if len(shape.tensors) > MAX_TENSORS:
        raise BadModelError(f"{name} has {len(shape.tensors)} tensors, more than {MAX_TENSORS}")
    checked: set[tuple[int, ...]] = set()
    for tensor in shape.tensors:
        if tensor.shape not in checked or len(tensor.name) > MAX_NAME_CHARS:
            check_tensor(name, tensor.name, tensor.shape)
            checked.add(tensor.shape)
    if layers is not None:
        _check_layers(name, shape.tensors, layers)
    _check_width(name, shape)


def _check_layers(name: str, tensors: Sequence[Tensor], layers: int) -> None:
    for tensor in tensors:
        block = _BLOCK.match(tensor.name)
        if block and int(block[1]) >= layers:
            raise BadModelError(f"{name}: the tensor {_shown(tensor.name)} is of a layer beyond its {layers}")


def _check_width(name: str, shape: ModelShape) -> None:
    """The rows of the embedding are as long as the header says."""
    width = shape.get("embedding_length")
    embedding: Tensor | None = next(
        (item for item in shape.tensors if item.name == "token_embd.weight"), None
    )
    if not isinstance(width, int) or embedding is None:
        return
    row = (*embedding.shape, 1)[0]
    if row != width:
        key = f"{shape.architecture}.embedding_length"
        raise _refused(name, key, width, f"token_embd.weight is {row} wide")


def _refused(name: str, key: str, value: object, why: str) -> BadModelError:
    return BadModelError(f"{name}: its header's {key} is {_shown(value)}: {why}")


def _shown(value: object) -> str:
    """A part of it: a value of thousands of digits would take a second to print, and fill a screen."""
    if isinstance(value, int) and abs(value) >> 64:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, tuple):
        return f"({', '.join(_shown(item) for item in value[:4])}{', ...' if len(value) > 4 else ''})"
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
