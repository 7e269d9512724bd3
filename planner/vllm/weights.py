"""Bytes of weights on each rank of tensor-parallel: which tensors are cut, and which every rank holds.

Source: vLLM ``layers/linear.py``, ``layers/vocab_parallel_embedding.py`` and its models:
column-parallel matrices are cut by their outputs, row-parallel ones by their inputs, so that what belongs
to outputs (a bias) is whole on each rank; embeddings are cut by rows padded to 64; routers, norms and the
narrow projections of latent attention are copied.
"""

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
# Experts in MXFP4 are padded: hidden and inner size of a rank, by what runs them.
# Source: vLLM ``fused_moe/oracle/mxfp4.py``, mxfp4_round_up_hidden_size_and_intermediate_size.
MXFP4_PADDING = {"nvidia": (256, 128), "amd": (256, 256), "intel": (128, 128)}
MXFP4_CPU_PADDING = (32, 32)


class Cut(StrEnum):
    """How ranks share a tensor."""

    ROWS_OF_WORDS = "vocabulary"
    COPIED = "copied"
    KV = "heads of keys and values"
    OUTPUTS = "outputs"
    INPUTS = "inputs"


_CUTS: tuple[tuple[re.Pattern[str], Cut], ...] = tuple(
    (re.compile(pattern), cut)
    for pattern, cut in (
        (r"(embed_tokens|wte|word_embeddings|embeddings|lm_head)\.weight$", Cut.ROWS_OF_WORDS),
        (r"norm\d?\.(weight|bias)$|\.ln_\w+\.|_ln\.", Cut.COPIED),
        (r"\.(gate|router|shared_expert_gate|block_sparse_moe\.gate)\.(weight|bias|layer)", Cut.COPIED),
        (r"\.(q_a_proj|kv_a_proj_with_mqa|kv_a_proj)\.", Cut.COPIED),
        (r"\.(k_proj|v_proj)\.", Cut.KV),
        (r"\.(o_proj|down_proj|out_proj|wo|w2|dense|c_proj|dense_4h_to_h)\.", Cut.INPUTS),
    )
)
_EXPERT = re.compile(r"\.experts\.")
_MXFP4_EXPERT = re.compile(r"\.experts\..*_(blocks|scales)$")
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_NOT_LOADED = re.compile(r"rotary_emb\.inv_freq$|^(model\.)?mtp\.|\.masked_bias$")


@lru_cache(maxsize=1 << 16)
def cut_of(name: str) -> Cut:
    return next((cut for pattern, cut in _CUTS if pattern.search(name)), Cut.OUTPUTS)


def rank_bytes(
    shape: ModelShape, config: Config, ranks: int, *, dtype: str = "auto", vendor: str | None = None,
    quantized_to: str | None = None,
) -> int:  # fmt: skip
    """Of one rank of ``ranks``. ``vendor`` is the GPU's, ``None`` a CPU; ``quantized_to`` a method that
    shrinks plain weights while they are loaded. Sizes alone (no tensors) are shared evenly. Latent attention
    keeps a second copy of one projection, of 16 bits, turned for decoding (``mla_attention.py``).
    """
    if not shape.tensors:
        return -(-shape.file_bytes // ranks)
    grown = _mxfp4_growth(config, ranks, vendor)
    total = 0.0
    for tensor in shape.tensors:
        if not is_loaded(tensor.name, config):
            continue
        size = tensor.size_bytes * _dtype_ratio(tensor, config, dtype)
        size = _shrunk(tensor, size, quantized_to)
        if _MXFP4_EXPERT.search(tensor.name):
            size *= grown
        total += _share(tensor, size, config, ranks)
        if config.latent and tensor.name.endswith(".kv_b_proj.weight"):
            total += 2 * prod(tensor.shape) / ranks
    return int(total)


def is_loaded(name: str, config: Config) -> bool:
    """Not: heads for multi-token prediction, and a copy of the embedding where it is the output, too."""
    if _NOT_LOADED.search(name) or (config.is_tied and name.endswith("lm_head.weight")):
        return False
    block = _BLOCK.search(name)
    return "vision" in name or "visual" in name or block is None or int(block.group(1)) < config.layers


def _share(tensor: Tensor, size: float, config: Config, ranks: int) -> float:
    cut = cut_of(tensor.name)
    if cut is Cut.ROWS_OF_WORDS:
        rows = tensor.shape[0] if tensor.shape else 1
        padded = -(-rows // VOCAB_PADDING) * VOCAB_PADDING
        return size * padded / rows / ranks
    if cut is Cut.COPIED or prod(tensor.shape) <= 1:
        return size
    if cut is Cut.KV:
        return size / min(ranks, config.kv_heads)
    if cut is Cut.INPUTS and len(tensor.shape) < 2:
        return size
    return size / ranks


def served_dtype(config: Config, dtype: str) -> str:
    """``auto`` serves weights of 32 bits in 16. Source: ``vllm serve --help``, --dtype."""
    if dtype != "auto":
        return dtype
    return "float16" if config.dtype == "float32" else config.dtype


def _dtype_ratio(tensor: Tensor, config: Config, dtype: str) -> float:
    stored = FLOAT_BYTES.get(tensor.type)
    if stored is None or "scale" in tensor.name:
        return 1.0
    return DTYPE_BYTES.get(served_dtype(config, dtype), 2) / stored


# Bytes that are left of a value of 16 bits, and whether only experts shrink.
# Source: vLLM ``quantization/fp8.py``, ``experts_int8.py``, ``bitsandbytes.py`` (4 bits and a byte for 64).
ONLINE = {
    "fp8": (1.0, False),
    "fp8_per_tensor": (1.0, False),
    "experts_int8": (1.0, True),
    "bitsandbytes": (0.516, False),
}


def _shrunk(tensor: Tensor, size: float, method: str | None) -> float:
    if method is None or tensor.type not in FLOAT_BYTES or len(tensor.shape) < 2:
        return size
    left, experts_only = ONLINE[method]
    if cut_of(tensor.name) in (Cut.ROWS_OF_WORDS, Cut.COPIED):
        return size
    return size if experts_only and not _EXPERT.search(tensor.name) else size / 2 * left


def quantized_to(config: Config, asked: str | None) -> str | None:
    """The method that ``--quantization`` adds to plain weights; ``None`` where the files have it.
    Raises: UsageError as vLLM does for one that the files don't have."""
    if asked is None or (config.method and family(asked) == family(config.method)):
        return None
    if config.method is not None:
        raise UsageError(
            f"the model is quantized with {config.method}, {asked} was asked for",
            hint="leave --quantization out: vLLM reads it from the model",
        )
    if asked not in ONLINE:
        raise UsageError(
            f"the model is not quantized with {asked}",
            hint=f"leave --quantization out, or give one of {', '.join(ONLINE)}, which quantize on loading",
        )
    return asked


def family(method: str) -> str:
    """``awq_marlin`` and ``auto_awq`` load what ``awq`` wrote."""
    plain = method.lower().replace("-", "_").removeprefix("auto_").removesuffix("_marlin")
    return plain.removeprefix("gpt_oss_")


def _mxfp4_growth(config: Config, ranks: int, vendor: str | None) -> float:
    if not config.expert_inner:
        return 1.0
    wide, deep = MXFP4_PADDING.get(vendor, MXFP4_CPU_PADDING) if vendor else MXFP4_CPU_PADDING
    inner = config.expert_inner / ranks
    return _up(config.hidden, wide) / config.hidden * _up(inner, deep) / inner


def _up(count: float, step: int) -> float:
    return -(-count // step) * step
