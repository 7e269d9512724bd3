"""Safetensors of models whose speeds on vLLM were published, from the numbers of their config.json."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from domain.models.model import ModelShape, Tensor

ARCHITECTURE = "published"
GROUP = 128  # of 4-bit integers
# By quant: bytes of a weight, of its scales, and the dtype of what is stored.
STORED: Mapping[str, tuple[float, float, str]] = {
    "BF16": (2, 0, "BF16"),
    "FP8": (1, 4 / 128**2, "F8_E4M3"),
    "INT8": (1, 0, "I8"),
    **dict.fromkeys(("AWQ", "GPTQ", "INT4"), (0.5, 2.5 / GROUP, "I32")),
    "NVFP4": (0.5, 1 / 16, "U8"),
    "MXFP4": (0.5, 1 / 32, "U8"),
}
ONLY_EXPERTS, ALL = "MXFP4", "-ALL"  # how gpt-oss is published, and a fork's own


def published_shape(config: Mapping[str, Any], quant: str) -> ModelShape:
    """``quant``: a key of ``STORED``; with ``-ALL`` also of attention and output."""
    tensors = tuple(_tensors(config, quant))
    metadata = {f"{ARCHITECTURE}.{key}": value for key, value in config.items()}
    return ModelShape(ARCHITECTURE, tensors, sum(tensor.size_bytes for tensor in tensors), metadata)


def _tensors(config: Mapping[str, Any], quant: str) -> Iterator[Tensor]:
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield _plain("model.embed_tokens.weight", vocabulary, hidden)
    if not config["tie_word_embeddings"]:
        yield from _matrix("lm_head", vocabulary, hidden, quant if quant.endswith(ALL) else "BF16")
    own = "BF16" if quant == ONLY_EXPERTS else quant
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for name, outputs, inputs in _attention(config, layer):
            is_small = name.endswith(("in_proj_ba", "kv_a_proj_with_mqa"))
            yield from _matrix(f"{at}.{name}", outputs, inputs, "BF16" if is_small else own)
        yield from _mlp(config, layer, at, quant, own)


def _attention(config: Mapping[str, Any], layer: int) -> Iterator[tuple[str, int, int]]:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    every = config.get("full_attention_interval")
    if every and (layer + 1) % every:
        key = config["linear_num_key_heads"] * config["linear_key_head_dim"]
        value = config["linear_num_value_heads"] * config["linear_value_head_dim"]
        yield "linear_attn.in_proj_qkvz", 2 * key + 2 * value, hidden
        yield "linear_attn.in_proj_ba", 2 * config["linear_num_value_heads"], hidden
        yield "linear_attn.out_proj", hidden, value
        return
    if rank := config.get("kv_lora_rank"):
        nope, rope, width = (config[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        yield "self_attn.q_a_proj", config["q_lora_rank"], hidden
        yield "self_attn.q_b_proj", heads * (nope + rope), config["q_lora_rank"]
        yield "self_attn.kv_a_proj_with_mqa", rank + rope, hidden
        yield "self_attn.kv_b_proj", heads * (nope + width), rank
        yield "self_attn.o_proj", hidden, heads * width
        return
    width = config["head_dim"]
    yield "self_attn.q_proj", heads * width * (2 if config.get("attn_output_gate") else 1), hidden
    yield "self_attn.k_proj", config["num_key_value_heads"] * width, hidden
    yield "self_attn.v_proj", config["num_key_value_heads"] * width, hidden
    yield "self_attn.o_proj", hidden, heads * width


def _mlp(config: Mapping[str, Any], layer: int, at: str, quant: str, own: str) -> Iterator[Tensor]:
    hidden, experts = config["hidden_size"], config.get("num_experts")
    width = config.get("intermediate_size", 0)
    if experts and layer >= config.get("first_k_dense_replace", 0):
        yield _plain(f"{at}.mlp.gate.weight", experts, hidden)
        expert_width = config["moe_intermediate_size"]
        yield from _matrix(f"{at}.mlp.experts.gate_up_proj", experts * 2 * expert_width, hidden, quant)
        yield from _matrix(f"{at}.mlp.experts.down_proj", experts * hidden, expert_width, quant)
        at, width = f"{at}.mlp.shared_expert", config.get("shared_expert_intermediate_size", 0)
    else:
        at = f"{at}.mlp"
    if width:
        yield from _matrix(f"{at}.gate_up_proj", 2 * width, hidden, own)
        yield from _matrix(f"{at}.down_proj", hidden, width, own)


def _plain(name: str, *shape: int) -> Tensor:
    return Tensor(name, "BF16", shape, 2 * prod(shape))


def _matrix(name: str, outputs: int, inputs: int, quant: str) -> Iterator[Tensor]:
    weight_bytes, scale_bytes, dtype = STORED[quant.removesuffix(ALL)]
    count = outputs * inputs
    yield Tensor(f"{name}.weight", dtype, (outputs, inputs), int(count * weight_bytes))
    if scale_bytes:
        yield Tensor(f"{name}.weight_scale", "BF16", (outputs, 1), int(count * scale_bytes))
