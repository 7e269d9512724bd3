"""Hyperparameters from a model's header, per layer, as llama.cpp resolves them.

Source: llama.cpp ``llama_model_base::load_hparams`` and the ``load_arch_hparams`` of ``src/models``.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from domain.errors import BadModelError
from domain.models.classification import has_kv_cache
from domain.models.header import HeaderReader
from domain.models.model import ModelShape, Tensor
from planner.llama_cpp.graph.recipe import recipe
from planner.model import sliding_window

RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
# Hybrids whose recurrent layers are those without KV heads. Source: ``is_recr_impl`` in ``src/models``.
HYBRID_BY_HEADS = frozenset(
    {"jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "bailingmoe3", "nemotron_h"}
    | {"nemotron_h_moe"}
)
HYBRID_BY_INTERVAL = frozenset({"qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"})
FIRST_SHARED_KV_LAYER = {"gemma3n": 20}


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. ``kv_heads`` 0: no attention. ``window`` 0: full attention. ``conv_values`` and
    ``state_values``: values of the recurrent convolution and state that one sequence keeps."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    ffn_length: int
    window: int = 0
    has_kv: bool = True
    conv_values: int = 0
    state_values: int = 0

    @property
    def is_recurrent(self) -> bool:
        return self.state_values > 0 or self.conv_values > 0


@dataclass(frozen=True, slots=True)
class Ssm:
    """Recurrent layers, as the header's ``ssm.*`` keys have them; all 0 in a model without."""

    conv_kernel: int
    inner_size: int
    state_size: int
    group_count: int
    time_step_rank: int


@dataclass(frozen=True, slots=True)
class Hparams:
    """The hyperparameters that memory and speed depend on.

    ``layers``: all blocks; ``main_blocks``: how many of them every token passes, which excludes
    multi-token-prediction heads. ``kinds``: a number for each layer, the same for equal layers. ``is_mla``:
    the cache holds K only. ``image_layers``: first blocks to whose output an image adds embeddings.
    ``has_cache``: false for an encoder, which computes a text at once and keeps nothing of it. ``is_known``:
    whether there are rules for the architecture; if not, each layer counts as attention over
    the whole context and as recurrent, as far as the header has sizes of both."""

    architecture: str
    layers: tuple[Layer, ...]
    main_blocks: int
    embedding_length: int
    vocab_size: int
    trained_context_tokens: int
    expert_count: int
    experts_used: int
    is_mla: bool
    mla_key_dim: int
    mla_value_dim: int
    kv_lora_rank: int
    rope_dim: int
    ssm: Ssm
    window: int
    is_hybrid: bool
    is_known: bool = True
    kinds: tuple[int, ...] = ()
    image_layers: int = 0
    has_cache: bool = True

    @property
    def can_roll_back(self) -> bool:
        """Whether a prefix of a cached prompt can be reused without a checkpoint."""
        return self.window == 0 and not self.is_hybrid and self.architecture not in RECURRENT


@lru_cache(maxsize=64)
def _vocab_rows(tensors: tuple[Tensor, ...]) -> int | None:
    embedding = next((tensor for tensor in tensors if tensor.name == "token_embd.weight"), None)
    return embedding.shape[1] if embedding is not None and len(embedding.shape) > 1 else None


def read_hparams(shape: ModelShape) -> Hparams:
    """Raises: BadModelError if the header lacks a value that every model has."""
    header = HeaderReader(shape)
    architecture = shape.architecture
    blocks = header.count("block_count")
    if not 0 < blocks <= 1024:
        raise BadModelError(f"the header says {blocks} blocks")
    main_blocks = blocks - min(header.count("nextn_predict_layers", 0), blocks - 1)
    embedding_length = header.count("embedding_length")
    heads = header.per_layer("attention.head_count", blocks, 0)
    first_heads = max(heads) or 1
    window = sliding_window.window_tokens(header, architecture)
    kv_lora_rank = header.count("attention.kv_lora_rank", 0)
    mla_key_dim = header.count("attention.key_length_mla", 0)
    is_hybrid = (
        architecture in HYBRID_BY_HEADS or architecture in HYBRID_BY_INTERVAL or architecture == "falcon-h1"
    )
    vocab_rows = _vocab_rows(shape.tensors) or header.count("vocab_size", 0)
    is_known = recipe(architecture).is_known
    layers = _layers(header, architecture, blocks, main_blocks, embedding_length, heads, window)
    has_cache = has_kv_cache(shape)
    if not has_cache:
        layers = tuple(replace(layer, has_kv=False) for layer in layers)
    elif not is_known:
        layers = tuple(_with_cache_and_state(layer, header, embedding_length) for layer in layers)
        is_hybrid = any(layer.is_recurrent for layer in layers)
    image_layers = header.count("n_deepstack_layers", 0)
    kind_numbers: dict[tuple[Layer, int], int] = {}
    return Hparams(
        architecture=architecture,
        layers=layers,
        kinds=tuple(
            kind_numbers.setdefault((layer, min(index, image_layers)), len(kind_numbers))
            for index, layer in enumerate(layers)
        ),
        image_layers=image_layers,
        main_blocks=main_blocks,
        embedding_length=embedding_length,
        vocab_size=vocab_rows or shape.array_lengths.get("tokenizer.ggml.tokens", 0),
        trained_context_tokens=header.count("context_length", 4096),
        expert_count=header.count("expert_count", 0),
        experts_used=header.count("expert_used_count", 0),
        is_mla=mla_key_dim > 0,
        mla_key_dim=mla_key_dim,
        mla_value_dim=header.count("attention.value_length_mla", 0),
        kv_lora_rank=kv_lora_rank,
        rope_dim=header.count(
            "rope.dimension_count", header.count("attention.key_length", embedding_length // first_heads)
        ),
        ssm=_ssm(header),
        window=window,
        is_hybrid=is_hybrid,
        is_known=is_known,
        has_cache=has_cache,
    )


def _ssm(header: HeaderReader) -> Ssm:
    return Ssm(
        conv_kernel=header.count("ssm.conv_kernel", 0),
        inner_size=header.count("ssm.inner_size", 0),
        state_size=header.count("ssm.state_size", 0),
        group_count=header.count("ssm.group_count", 0),
        time_step_rank=header.count("ssm.time_step_rank", 0),
    )


def _layers(
    header: HeaderReader,
    architecture: str,
    blocks: int,
    main_blocks: int,
    embedding_length: int,
    heads: tuple[int, ...],
    window: int,
) -> tuple[Layer, ...]:
    default_kv_heads = max(heads)
    kv_heads = (
        header.per_layer("attention.head_count_kv", blocks, default_kv_heads)
        if header.shape.get("attention.head_count_kv") is not None
        else heads
    )
    ffn_length = header.per_layer("feed_forward_length", blocks, 0)
    default_dim = embedding_length // (max(heads) or 1)
    key_dim, value_dim = (
        header.count("attention.key_length", default_dim),
        header.count("attention.value_length", default_dim),
    )
    key_dim_swa = header.count("attention.key_length_swa", key_dim)
    value_dim_swa = header.count("attention.value_length_swa", value_dim)
    is_sliding = (
        sliding_window.sliding_layers(header, architecture, blocks, main_blocks)
        if window
        else (False,) * blocks
    )
    is_recurrent = _recurrent_layers(header, architecture, blocks, main_blocks, kv_heads, ffn_length)
    first_shared = _first_shared_kv_layer(header, architecture, blocks)
    conv_values, state_values = _state_sizes(header, embedding_length, max(heads))
    return tuple(
        Layer(
            heads=heads[index],
            kv_heads=kv_heads[index],
            key_dim=key_dim_swa if is_sliding[index] else key_dim,
            value_dim=value_dim_swa if is_sliding[index] else value_dim,
            ffn_length=ffn_length[index],
            window=window if is_sliding[index] else 0,
            has_kv=_has_kv(
                architecture, index, main_blocks, is_recurrent[index], kv_heads[index], ffn_length[index]
            )
            and index < first_shared,
            conv_values=conv_values if is_recurrent[index] else 0,
            state_values=state_values if is_recurrent[index] else 0,
        )
        for index in range(blocks)
    )


def _with_cache_and_state(layer: Layer, header: HeaderReader, embedding_length: int) -> Layer:
    """The most that one layer of an unknown kind can keep. An indexer beside the heads also has keys."""
    conv_values, state_values = _state_sizes(header, embedding_length, layer.heads)
    key_dim = max(layer.key_dim, header.count("attention.key_length_mla", 0))
    key_dim += header.count("attention.indexer.key_length", 0) if layer.kv_heads else 0
    value_dim = max(layer.value_dim, header.count("attention.value_length_mla", 0))
    return replace(
        layer,
        key_dim=key_dim,
        value_dim=value_dim,
        has_kv=True,
        conv_values=conv_values,
        state_values=state_values,
    )


def _has_kv(
    architecture: str, index: int, main_blocks: int, is_recurrent: bool, kv_heads: int, ffn_length: int
) -> bool:
    if index >= main_blocks or architecture in RECURRENT:
        return False
    if architecture in {"nemotron_h", "nemotron_h_moe"}:
        return not is_recurrent and ffn_length == 0 and kv_heads > 0
    return architecture == "falcon-h1" or not is_recurrent


def _first_shared_kv_layer(header: HeaderReader, architecture: str, blocks: int) -> int:
    """From this layer on, layers use the caches of earlier ones."""
    shared_layers = header.count("attention.shared_kv_layers", 0)
    if shared_layers:
        return blocks - shared_layers
    return min(blocks, FIRST_SHARED_KV_LAYER.get(architecture, blocks))


def _recurrent_layers(
    header: HeaderReader,
    architecture: str,
    blocks: int,
    main_blocks: int,
    kv_heads: tuple[int, ...],
    ffn_length: tuple[int, ...],
) -> tuple[bool, ...]:
    if architecture in RECURRENT or architecture == "falcon-h1":
        return (True,) * blocks
    if architecture in HYBRID_BY_INTERVAL:
        in_header = header.shape.get("attention.recurrent_layers")
        if isinstance(in_header, tuple) and len(in_header) >= blocks:
            return tuple(bool(item) for item in in_header[:blocks])
        interval = header.count("full_attention_interval", 4) or 4
        return tuple(index < main_blocks and (index + 1) % interval != 0 for index in range(blocks))
    if architecture in {"nemotron_h", "nemotron_h_moe"}:
        return tuple(
            index < main_blocks and kv_heads[index] == 0 and ffn_length[index] == 0 for index in range(blocks)
        )
    if architecture in HYBRID_BY_HEADS:
        return tuple(heads == 0 for heads in kv_heads)
    return (False,) * blocks


def _state_sizes(header: HeaderReader, embedding_length: int, heads: int) -> tuple[int, int]:
    """Values that a recurrent layer keeps per sequence: rows of the convolution, and the state itself.

    Source: ``llama_hparams::n_embd_r`` and ``n_embd_s``.
    """
    wkv_head_dim = header.count("wkv.head_size", 0)
    if wkv_head_dim:
        return header.count("token_shift_count", 2) * embedding_length, embedding_length * wkv_head_dim
    short_conv_rows = header.count("shortconv.l_cache", 0)
    if short_conv_rows:
        return embedding_length * (short_conv_rows - 1), 0
    ssm, kda_head_dim = _ssm(header), header.count("kda.head_dim", 0)
    if kda_head_dim:
        rows = ssm.conv_kernel - 1 if ssm.conv_kernel else 3
        return 3 * rows * heads * kda_head_dim, kda_head_dim * kda_head_dim * heads
    rows = ssm.conv_kernel - 1 if ssm.conv_kernel else 0
    channels = ssm.inner_size + 2 * ssm.group_count * ssm.state_size
    return rows * channels, ssm.state_size * ssm.inner_size
