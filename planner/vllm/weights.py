"""Weights per rank under tensor parallelism: which tensors are split, and which are replicated.

Source: vLLM ``layers/linear.py``, ``layers/vocab_parallel_embedding.py`` and its models: column-parallel
matrices are split by output, row-parallel ones by input, and each rank holds their whole bias; embeddings are
split by rows padded to 64; routers, norms and the narrow projections of latent attention are replicated."""

import re
from enum import StrEnum
from functools import lru_cache
from math import prod

from domain.errors import UsageError
from domain.model import ModelShape, Tensor
from planner.vllm.model_config import Config

VOCAB_PADDING = 64
FLOAT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
# Experts in MXFP4 are padded to multiples of these hidden and intermediate sizes of a rank, by vendor.
# Source: vLLM ``fused_moe/oracle/mxfp4.py``, mxfp4_round_up_hidden_size_and_intermediate_size.
MXFP4_PADDING = {"nvidia": (256, 128), "amd": (256, 256), "intel": (128, 128)}
MXFP4_CPU_PADDING = (32, 32)


class Sharding(StrEnum):
    """How ranks share a tensor."""

    VOCABULARY = "vocabulary"
    REPLICATED = "replicated"
    KV_HEADS = "heads of keys and values"
    COLUMN_PARALLEL = "outputs"
    ROW_PARALLEL = "inputs"


_SHARDING: tuple[tuple[re.Pattern[str], Sharding], ...] = tuple(
    (re.compile(pattern), sharding)
    for pattern, sharding in (
        (r"(embed_tokens|wte|word_embeddings|embeddings|lm_head)\.weight$", Sharding.VOCABULARY),
        (r"norm\d?\.(weight|bias)$|\.ln_\w+\.|_ln\.", Sharding.REPLICATED),
        (
            r"\.(gate|router|shared_expert_gate|block_sparse_moe\.gate)\.(weight|bias|layer)",
            Sharding.REPLICATED,
        ),
        (r"\.(q_a_proj|kv_a_proj_with_mqa|kv_a_proj)\.", Sharding.REPLICATED),
        (r"\.(k_proj|v_proj)\.", Sharding.KV_HEADS),
        (r"\.(o_proj|down_proj|out_proj|wo|w2|dense|c_proj|dense_4h_to_h)\.", Sharding.ROW_PARALLEL),
    )
)
_EXPERT = re.compile(r"\.experts\.")
_MXFP4_EXPERT = re.compile(r"\.experts\..*_(blocks|scales)$")
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_NOT_LOADED = re.compile(r"rotary_emb\.inv_freq$|^(model\.)?mtp\.|\.masked_bias$")


@lru_cache(maxsize=1 << 16)
def sharding_of(name: str) -> Sharding:
    return next(
        (sharding for pattern, sharding in _SHARDING if pattern.search(name)), Sharding.COLUMN_PARALLEL
    )


def rank_bytes(
    shape: ModelShape, config: Config, ranks: int, *, dtype: str = "auto", vendor: str | None = None,
    online_method: str | None = None,
) -> int:  # fmt: skip
    """Bytes of one of ``ranks``. ``vendor``: the GPU's, ``None`` for a CPU. ``online_method``: quantizes
    plain weights while they are loaded. A shape without tensors is shared evenly. Latent attention keeps a
    second, transposed copy of one projection in 16 bits (``mla_attention.py``)."""
    if not shape.tensors:
        return -(-shape.file_bytes // ranks)
    padding_factor = _mxfp4_padding_factor(config, ranks, vendor)
    total_bytes = 0.0
    for tensor in shape.tensors:
        if not is_loaded(tensor.name, config):
            continue
        size_bytes = tensor.size_bytes * _dtype_ratio(tensor, config, dtype)
        size_bytes = _quantized_bytes(tensor, size_bytes, online_method)
        if _MXFP4_EXPERT.search(tensor.name):
            size_bytes *= padding_factor
        total_bytes += _rank_share(tensor, size_bytes, config, ranks)
        if config.mla_width and tensor.name.endswith(".kv_b_proj.weight"):
            total_bytes += 2 * prod(tensor.shape) / ranks
    return int(total_bytes)


def is_loaded(name: str, config: Config) -> bool:
    """Multi-token-prediction heads are not loaded, nor a copy of a tied embedding."""
    if _NOT_LOADED.search(name) or (config.is_tied and name.endswith("lm_head.weight")):
        return False
    match = _BLOCK.search(name)
    return "vision" in name or "visual" in name or match is None or int(match.group(1)) < config.layers


def _rank_share(tensor: Tensor, size_bytes: float, config: Config, ranks: int) -> float:
    sharding = sharding_of(tensor.name)
    if sharding is Sharding.VOCABULARY:
        rows = tensor.shape[0] if tensor.shape else 1
        padded_rows = -(-rows // VOCAB_PADDING) * VOCAB_PADDING
        return size_bytes * padded_rows / rows / ranks
    if sharding is Sharding.REPLICATED or prod(tensor.shape) <= 1:
        return size_bytes
    if sharding is Sharding.KV_HEADS:
        return size_bytes / min(ranks, config.kv_heads)
    if sharding is Sharding.ROW_PARALLEL and len(tensor.shape) < 2:
        return size_bytes
    return size_bytes / ranks


def served_dtype(config: Config, dtype: str) -> str:
    """``auto`` serves 32-bit weights in 16 bits. Source: ``vllm serve --help``, --dtype."""
    if dtype != "auto":
        return dtype
    return "float16" if config.dtype == "float32" else config.dtype


def _dtype_ratio(tensor: Tensor, config: Config, dtype: str) -> float:
    stored_bytes = FLOAT_BYTES.get(tensor.type)
    if stored_bytes is None or "scale" in tensor.name:
        return 1.0
    return DTYPE_BYTES.get(served_dtype(config, dtype), 2) / stored_bytes


# Bytes per value, and whether only experts are quantized.
# Source: vLLM ``quantization/fp8.py``, ``experts_int8.py``, ``bitsandbytes.py`` (4 bits and a byte for 64).
ONLINE_QUANTIZATION = {
    "fp8": (1.0, False),
    "fp8_per_tensor": (1.0, False),
    "experts_int8": (1.0, True),
    "bitsandbytes": (0.516, False),
}


def _quantized_bytes(tensor: Tensor, size_bytes: float, method: str | None) -> float:
    if method is None or tensor.type not in FLOAT_BYTES or len(tensor.shape) < 2:
        return size_bytes
    bytes_left, experts_only = ONLINE_QUANTIZATION[method]
    if sharding_of(tensor.name) in (Sharding.VOCABULARY, Sharding.REPLICATED):
        return size_bytes
    return size_bytes if experts_only and not _EXPERT.search(tensor.name) else size_bytes / 2 * bytes_left


def online_quantization(config: Config, requested: str | None) -> str | None:
    """The method that ``--quantization`` applies to plain weights; ``None`` if the files already have it.

    Raises: UsageError for one that the files don't have, as vLLM does."""
    if requested is None or (config.method and method_family(requested) == method_family(config.method)):
        return None
    if config.method is not None:
        raise UsageError(
            f"the model is quantized with {config.method}, {requested} was asked for",
            hint="leave --quantization out: vLLM reads it from the model",
        )
    if requested not in ONLINE_QUANTIZATION:
        methods = ", ".join(ONLINE_QUANTIZATION)
        raise UsageError(
            f"the model is not quantized with {requested}",
            hint=f"leave --quantization out, or give one of {methods}, which quantize on loading",
        )
    return requested


def method_family(method: str) -> str:
    """``awq_marlin`` and ``auto_awq`` load what ``awq`` wrote."""
    base_method = method.lower().replace("-", "_").removeprefix("auto_").removesuffix("_marlin")
    return base_method.removeprefix("gpt_oss_")


def _mxfp4_padding_factor(config: Config, ranks: int, vendor: str | None) -> float:
    if not config.expert_intermediate_size:
        return 1.0
    multiples = MXFP4_PADDING.get(vendor, MXFP4_CPU_PADDING) if vendor else MXFP4_CPU_PADDING
    hidden, intermediate = config.hidden_size, config.expert_intermediate_size / ranks
    padded_hidden, padded = _round_up(hidden, multiples[0]), _round_up(intermediate, multiples[1])
    return padded_hidden / hidden * padded / intermediate


def _round_up(count: float, multiple: int) -> float:
    return -(-count // multiple) * multiple
