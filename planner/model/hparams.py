"""Hyperparameters from a model's header, per layer, as llama.cpp resolves them.

Source: llama.cpp ``llama_model_base::load_hparams`` and the ``load_arch_hparams`` of ``src/models``.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from domain.errors import BadModelError
from domain.model import ModelShape
from planner.llama_cpp.graph.recipe import recipe
from planner.model import sliding_window
from planner.model.header import HeaderReader

RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
# Hybrids whose recurrent layers are those without KV heads. Source: ``is_recr_impl`` in ``src/models``.
HYBRID_BY_HEADS = frozenset(
    {"jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "bailingmoe3", "nemotron_h"}
    | {"nemotron_h_moe"}
)
HYBRID_BY_INTERVAL = frozenset({"qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"})
SHARED_KV_FROM = {"gemma3n": 20}


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. ``kv_heads`` 0: no attention; ``window`` 0: full attention; ``recurrent_r`` and
    ``recurrent_s``: values of the convolution and of the state that one sequence keeps."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    ffn: int
    window: int = 0
    has_kv: bool = True
    recurrent_r: int = 0
    recurrent_s: int = 0

    @property
    def is_recurrent(self) -> bool:
        return self.recurrent_s > 0 or self.recurrent_r > 0


@dataclass(frozen=True, slots=True)
class Hparams:
    """What memory and speed depend on. ``layers`` are all blocks, ``trunk`` those that every token
    passes (without multi-token-prediction heads); ``kinds`` numbers the layers that are alike.
    ``is_mla``: the cache keeps K alone. ``image_layers``: first blocks to whose output an image adds
    vectors of its own. ``is_known``: whether the rules of this architecture are here; if not, each layer
    counts as attention over the whole context and as recurrent, as far as the header has sizes of both."""

    architecture: str
    layers: tuple[Layer, ...]
    trunk: int
    embd: int
    vocab: int
    native_context: int
    experts: int
    experts_used: int
    is_mla: bool
    mla_key_dim: int
    mla_value_dim: int
    kv_lora_rank: int
    rope_dim: int
    conv_kernel: int
    state_size: int
    state_groups: int
    state_inner: int
    time_step_rank: int
    window: int
    is_hybrid: bool
    is_known: bool = True
    kinds: tuple[int, ...] = ()
    image_layers: int = 0

    @property
    def can_roll_back(self) -> bool:
        """Whether a prefix of a cached prompt can be reused without a checkpoint."""
        return self.window == 0 and not self.is_hybrid and self.architecture not in RECURRENT


@lru_cache(maxsize=64)
def _vocab_rows(tensors: tuple[object, ...]) -> int | None:
    for tensor in tensors:
        if getattr(tensor, "name", "") == "token_embd.weight":
            return int(tensor.shape[1])  # type: ignore[attr-defined]
    return None


def read(shape: ModelShape) -> Hparams:
    """Raises: BadModelError where the header lacks what every model has."""
    keys = HeaderReader(shape)
    arch = shape.architecture
    count = keys.one("block_count")
    if not 0 < count <= 1024:
        raise BadModelError(f"the header says {count} blocks")
    trunk = count - min(keys.one("nextn_predict_layers", 0), count - 1)
    embd = keys.one("embedding_length")
    heads = keys.each("attention.head_count", count, 0)
    first_heads = max(heads) or 1
    window = sliding_window.window(keys, arch)
    kv_rank = keys.one("attention.kv_lora_rank", 0)
    mla_key = keys.one("attention.key_length_mla", 0)
    inner, state = keys.one("ssm.inner_size", 0), keys.one("ssm.state_size", 0)
    hybrid = arch in HYBRID_BY_HEADS or arch in HYBRID_BY_INTERVAL or arch == "falcon-h1"
    vocab = _vocab_rows(shape.tensors) or keys.one("vocab_size", 0)
    known = recipe(arch).known
    layers = _layers(keys, arch, count, trunk, embd, heads, window)
    if not known:
        layers = tuple(_as_both(layer, keys, embd) for layer in layers)
        hybrid = any(layer.is_recurrent for layer in layers)
    image_layers = keys.one("n_deepstack_layers", 0)
    numbers: dict[tuple[Layer, int], int] = {}
    return Hparams(
        architecture=arch,
        layers=layers,
        kinds=tuple(
            numbers.setdefault((layer, min(index, image_layers)), len(numbers))
            for index, layer in enumerate(layers)
        ),
        image_layers=image_layers,
        trunk=trunk,
        embd=embd,
        vocab=vocab or shape.array_lengths.get("tokenizer.ggml.tokens", 0),
        native_context=keys.one("context_length", 4096),
        experts=keys.one("expert_count", 0),
        experts_used=keys.one("expert_used_count", 0),
        is_mla=mla_key > 0,
        mla_key_dim=mla_key,
        mla_value_dim=keys.one("attention.value_length_mla", 0),
        kv_lora_rank=kv_rank,
        rope_dim=keys.one("rope.dimension_count", keys.one("attention.key_length", embd // first_heads)),
        conv_kernel=keys.one("ssm.conv_kernel", 0),
        state_size=state,
        state_groups=keys.one("ssm.group_count", 0),
        state_inner=inner,
        time_step_rank=keys.one("ssm.time_step_rank", 0),
        window=window,
        is_hybrid=hybrid,
        is_known=known,
    )


def _layers(
    keys: HeaderReader, arch: str, count: int, trunk: int, embd: int, heads: tuple[int, ...], window: int
) -> tuple[Layer, ...]:
    default_kv = max(heads)
    kv_heads = (
        keys.each("attention.head_count_kv", count, default_kv)
        if keys.shape.get("attention.head_count_kv") is not None
        else heads
    )
    ffn = keys.each("feed_forward_length", count, 0)
    default_dim = embd // (max(heads) or 1)
    key, value = (
        keys.one("attention.key_length", default_dim),
        keys.one("attention.value_length", default_dim),
    )
    key_swa = keys.one("attention.key_length_swa", key)
    value_swa = keys.one("attention.value_length_swa", value)
    sliding = sliding_window.sliding(keys, arch, count, trunk) if window else (False,) * count
    recurrent = _recurrent(keys, arch, count, trunk, kv_heads, ffn)
    kv_until = _kv_until(keys, arch, count)
    r, s = _state(keys, embd, max(heads))
    return tuple(
        Layer(
            heads=heads[index],
            kv_heads=kv_heads[index],
            key_dim=key_swa if sliding[index] else key,
            value_dim=value_swa if sliding[index] else value,
            ffn=ffn[index],
            window=window if sliding[index] else 0,
            has_kv=_has_kv(arch, index, trunk, recurrent[index], kv_heads[index], ffn[index])
            and index < kv_until,
            recurrent_r=r if recurrent[index] else 0,
            recurrent_s=s if recurrent[index] else 0,
        )
        for index in range(count)
    )


def _as_both(layer: Layer, keys: HeaderReader, embd: int) -> Layer:
    """The most that one layer of an unknown kind can keep. An indexer beside the heads has keys, too."""
    r, s = _state(keys, embd, layer.heads)
    heads, indexer = layer.kv_heads, keys.one("attention.indexer.key_length", 0)
    key = max(layer.key_dim, keys.one("attention.key_length_mla", 0)) + (indexer if heads else 0)
    value = max(layer.value_dim, keys.one("attention.value_length_mla", 0))
    return replace(layer, key_dim=key, value_dim=value, has_kv=True, recurrent_r=r, recurrent_s=s)


def _has_kv(arch: str, index: int, trunk: int, recurrent: bool, kv_heads: int, ffn: int) -> bool:
    if index >= trunk or arch in RECURRENT:
        return False
    if arch in {"nemotron_h", "nemotron_h_moe"}:
        return not recurrent and ffn == 0 and kv_heads > 0
    return arch == "falcon-h1" or not recurrent


def _kv_until(keys: HeaderReader, arch: str, count: int) -> int:
    """From this layer on, caches of earlier layers are used again."""
    shared = keys.one("attention.shared_kv_layers", 0)
    return count - shared if shared else min(count, SHARED_KV_FROM.get(arch, count))


def _recurrent(
    keys: HeaderReader, arch: str, count: int, trunk: int, kv_heads: tuple[int, ...], ffn: tuple[int, ...]
) -> tuple[bool, ...]:
    if arch in RECURRENT or arch == "falcon-h1":
        return (True,) * count
    if arch in HYBRID_BY_INTERVAL:
        listed = keys.shape.get("attention.recurrent_layers")
        if isinstance(listed, tuple) and len(listed) >= count:
            return tuple(bool(item) for item in listed[:count])
        interval = keys.one("full_attention_interval", 4) or 4
        return tuple(index < trunk and (index + 1) % interval != 0 for index in range(count))
    if arch in {"nemotron_h", "nemotron_h_moe"}:
        return tuple(index < trunk and kv_heads[index] == 0 and ffn[index] == 0 for index in range(count))
    if arch in HYBRID_BY_HEADS:
        return tuple(heads == 0 for heads in kv_heads)
    return (False,) * count


def _state(keys: HeaderReader, embd: int, heads: int) -> tuple[int, int]:
    """Values that a recurrent layer keeps per sequence: convolution rows, and the state itself.

    Source: ``llama_hparams::n_embd_r`` and ``n_embd_s``.
    """
    wkv = keys.one("wkv.head_size", 0)
    if wkv:
        return keys.one("token_shift_count", 2) * embd, embd * wkv
    short = keys.one("shortconv.l_cache", 0)
    if short:
        return embd * (short - 1), 0
    kernel, inner, state = (
        keys.one("ssm.conv_kernel", 0),
        keys.one("ssm.inner_size", 0),
        keys.one("ssm.state_size", 0),
    )
    kda = keys.one("kda.head_dim", 0)
    if kda:
        return 3 * (kernel - 1 if kernel else 3) * heads * kda, kda * kda * heads
    rows = kernel - 1 if kernel else 0
    return rows * (inner + 2 * keys.one("ssm.group_count", 0) * state), state * inner
