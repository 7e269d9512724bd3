"""Models with a head for multi-token prediction, made from models without: for llama.cpp a head is one more
block that attends, with a matrix that joins a token's embedding and the hidden state."""

from dataclasses import replace
from math import prod

from domain.models.model import MetadataValue, ModelShape, Tensor


def with_head(shape: ModelShape) -> ModelShape:
    """The head is the last block that attends, once more; unless there is one."""
    blocks = _blocks(shape)
    if any(".nextn." in tensor.name for tensor in shape.tensors):
        return _sized(shape, blocks)
    source = max(
        number
        for number in range(blocks)
        if any(tensor.name == f"blk.{number}.attn_output.weight" for tensor in shape.tensors)
    )
    block = [
        tensor._replace(name=tensor.name.replace(f"blk.{source}.", f"blk.{blocks}."))
        for tensor in shape.tensors
        if tensor.name.startswith(f"blk.{source}.")
    ]
    wide = next(tensor for tensor in block if tensor.name.endswith("attn_output.weight"))
    width = wide.shape[1]
    values = 2 * width * width
    joining = Tensor(
        f"blk.{blocks}.nextn.eh_proj.weight",
        wide.type,
        (2 * width, width),
        wide.size_bytes * values // (wide.shape[0] * width),
    )
    norms = (
        Tensor(f"blk.{blocks}.nextn.{name}.weight", "F32", (width,), 4 * width)
        for name in ("enorm", "hnorm", "shared_head_norm")
    )
    repeated = {
        key: (*value, value[source])
        for key, value in shape.metadata.items()
        if isinstance(value, tuple) and len(value) == blocks
    }
    tensors = (*shape.tensors, *block, joining, *norms)
    return _sized(replace(shape, tensors=tensors, metadata={**shape.metadata, **repeated}), blocks + 1)


def sidecar(shape: ModelShape) -> ModelShape:
    """The head of ``shape`` in a file of its own, with the embedding and the output."""
    kept = (f"blk.{_blocks(shape) - 1}.", "token_embd.", "output")
    tensors = tuple(tensor for tensor in shape.tensors if tensor.name.startswith(kept))
    return _sized(replace(shape, tensors=tensors), _blocks(shape))


def _blocks(shape: ModelShape) -> int:
    blocks = shape.get("block_count")
    assert isinstance(blocks, int)
    return blocks


def _sized(shape: ModelShape, blocks: int) -> ModelShape:
    counts = {"block_count": blocks, "nextn_predict_layers": 1}
    metadata: dict[str, MetadataValue] = {
        **shape.metadata,
        **{f"{shape.architecture}.{name}": count for name, count in counts.items()},
    }
    padded = sum(-(-tensor.size_bytes // 32) * 32 for tensor in shape.tensors)
    return replace(shape, metadata=metadata, file_bytes=padded)


def tiny_qwen35() -> ModelShape:
    """Eight blocks, of which every fourth attends, and 4096 tokens: MiB that can be added by hand."""
    width, inner, groups, state, heads = 1024, 1024, 4, 128, 8
    channels = inner + 2 * groups * state
    ffn = {"ffn_gate": (width, 2048), "ffn_up": (width, 2048), "ffn_down": (2048, width)}
    attending = {"attn_q": (width, 4096), "attn_k": (width, 512), "attn_v": (width, 512)} | {
        "attn_output": (2048, width),
        "attn_q_norm": (256,),
        "attn_k_norm": (256,),
    }
    recurrent = {"attn_qkv": (width, channels), "attn_gate": (width, inner), "ssm_conv1d": (4, channels)} | {
        "ssm_dt.bias": (heads,),
        "ssm_a": (heads,),
        "ssm_beta": (width, heads),
        "ssm_alpha": (width, heads),
        "ssm_norm": (state,),
        "ssm_out": (inner, width),
    }
    norms = {"attn_norm": (width,), "post_attention_norm": (width,)}
    tensors = [_tensor("token_embd", (width, 4096)), _tensor("output_norm", (width,))]
    tensors.append(Tensor("output.weight", "Q6_K", (width, 4096), width * 4096 // 256 * 210))
    for block in range(8):
        parts = norms | ffn | (attending if block % 4 == 3 else recurrent)
        tensors += [_tensor(f"blk.{block}.{name}", dims) for name, dims in parts.items()]
    keys: dict[str, MetadataValue] = {
        "block_count": 8,
        "context_length": 32768,
        "embedding_length": width,
        "feed_forward_length": 2048,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
        "attention.key_length": 256,
        "attention.value_length": 256,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1e7,
        "rope.dimension_count": 64,
        "rope.dimension_sections": (11, 11, 10, 0),
        "ssm.conv_kernel": 4,
        "ssm.state_size": state,
        "ssm.group_count": groups,
        "ssm.time_step_rank": heads,
        "ssm.inner_size": inner,
        "full_attention_interval": 4,
        "vocab_size": 4096,
    }
    metadata: dict[str, MetadataValue] = {f"qwen35.{name}": value for name, value in keys.items()}
    return ModelShape(
        architecture="qwen35",
        tensors=tuple(tensors),
        file_bytes=sum(-(-tensor.size_bytes // 32) * 32 for tensor in tensors),
        metadata={"general.architecture": "qwen35", **metadata},
        array_lengths={"tokenizer.ggml.tokens": 4096},
    )


def _tensor(name: str, dims: tuple[int, ...]) -> Tensor:
    kind, block, block_bytes = (
        ("Q4_K", 256, 144) if len(dims) > 1 and not name.endswith("conv1d") else ("F32", 1, 4)
    )
    full_name = name if name.endswith((".bias", "ssm_a")) else f"{name}.weight"
    return Tensor(full_name, kind, dims, prod(dims) // block * block_bytes)
