"""Weights per rank under tensor parallelism: which tensors are split, and which are replicated.

Source: vLLM ``layers/linear.py``, ``layers/vocab_parallel_embedding.py`` and its models: column-parallel
matrices are split by output, row-parallel ones by input, and each rank holds their whole bias; embeddings are
split by rows padded to 64; routers, norms and the narrow projections of latent attention are replicated."""

import re
from enum import StrEnum
from functools import lru_cache
from math import prod

from domain.models.model import ModelShape
from planner.vllm.model_config import Config
from planner.vllm.weights.quantization import DTYPE_BYTES, ONLINE_QUANTIZATION, served_dtype
from planner.vllm.weights.tensors import EMBEDDING, OUTPUT, TensorGroup, loaded_tensors

VOCAB_PADDING = 64
FLOAT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
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
        (EMBEDDING.pattern, Sharding.VOCABULARY),
        (OUTPUT.pattern, Sharding.VOCABULARY),
        (r"norm\d?\.(weight|bias)$|\.ln_\w+\.|_ln\.", Sharding.REPLICATED),
        (
            r"\.(gate|router|shared_expert_gate|block_sparse_moe\.gate)\.(weight|bias|layer)",
            Sharding.REPLICATED,
        ),
        (r"\.(q_a_proj|kv_a_proj_with_mqa|kv_a_proj|wq_a|wkv_a_with_mqa)\.", Sharding.REPLICATED),
        (r"\.(k_proj|v_proj|wk|wv)\.", Sharding.KV_HEADS),
        (r"\.(o_proj|down_proj|out_proj|wo|w2|dense|c_proj|dense_4h_to_h)\.", Sharding.ROW_PARALLEL),
    )
)
_EXPERT = re.compile(r"\.experts\.")
_MXFP4_EXPERT = re.compile(r"\.experts\..*_(blocks|scales)$")


@lru_cache(maxsize=1 << 10)
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
    for group in loaded_tensors(shape, config):
        size_bytes = group.size_bytes * _dtype_ratio(group, config, dtype)
        size_bytes = _quantized_bytes(group, size_bytes, online_method)
        if _MXFP4_EXPERT.search(group.name):
            size_bytes *= padding_factor
        total_bytes += _rank_share(group, size_bytes, config, ranks)
        if config.mla_width and group.name.endswith(".kv_b_proj.weight"):
            total_bytes += 2 * prod(group.shape) * group.count / ranks
    return int(total_bytes)


def _rank_share(group: TensorGroup, size_bytes: float, config: Config, ranks: int) -> float:
    sharding = sharding_of(group.name)
    if sharding is Sharding.VOCABULARY:
        rows = group.shape[0] if group.shape else 1
        padded_rows = -(-rows // VOCAB_PADDING) * VOCAB_PADDING
        return size_bytes * padded_rows / rows / ranks
    if sharding is Sharding.REPLICATED or prod(group.shape) <= 1:
        return size_bytes
    if sharding is Sharding.KV_HEADS:
        return size_bytes / min(ranks, config.kv_heads)
    if sharding is Sharding.ROW_PARALLEL and len(group.shape) < 2:
        return size_bytes
    return size_bytes / ranks


def _dtype_ratio(group: TensorGroup, config: Config, dtype: str) -> float:
    stored_bytes = FLOAT_BYTES.get(group.type)
    if stored_bytes is None or "scale" in group.name:
        return 1.0
    return DTYPE_BYTES.get(served_dtype(config, dtype), 2) / stored_bytes


def _quantized_bytes(group: TensorGroup, size_bytes: float, method: str | None) -> float:
    if method is None or group.type not in FLOAT_BYTES or len(group.shape) < 2:
        return size_bytes
    bytes_left, experts_only = ONLINE_QUANTIZATION[method]
    if sharding_of(group.name) in (Sharding.VOCABULARY, Sharding.REPLICATED):
        return size_bytes
    return size_bytes if experts_only and not _EXPERT.search(group.name) else size_bytes / 2 * bytes_left


def _mxfp4_padding_factor(config: Config, ranks: int, vendor: str | None) -> float:
    if not config.expert_intermediate_size:
        return 1.0
    multiples = MXFP4_PADDING.get(vendor, MXFP4_CPU_PADDING) if vendor else MXFP4_CPU_PADDING
    hidden, intermediate = config.hidden_size, config.expert_intermediate_size / ranks
    padded_hidden, padded = _round_up(hidden, multiples[0]), _round_up(intermediate, multiples[1])
    return padded_hidden / hidden * padded / intermediate


def _round_up(count: float, multiple: int) -> float:
    return -(-count // multiple) * multiple
