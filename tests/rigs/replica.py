"""Replicas: GGUF files with a true header and a sparse body, written with the ``gguf`` package.

An engine reads shapes and sizes from them as from the real file; a 63 GB model takes 5 MB of disk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

from catalog.synthetic.header import make_metadata, make_tensor, tensor_table
from catalog.synthetic.quant_recipes import Recipe, type_of
from domain.models.model import MetadataValue, ModelShape

_ALIGNMENT = 32
_TOKENS = "tokenizer.ggml.tokens"
_MERGES = "tokenizer.ggml.merges"

# The mixes of the recorded truth, see its note: a row that is no multiple of 256 becomes Q5_0.
_RECORDED_NARROW = {"Q4_K": "Q5_0", "Q6_K": "Q5_0"}
_RECORDED_MIXES = {
    "Q4_K_M": Recipe("Q4_K", output="Q6_K", more="Q6_K", narrow=_RECORDED_NARROW),
    "MXFP4": Recipe("Q8_0", output="Q8_0", experts="MXFP4"),
    "Q8_0": Recipe("Q8_0", output="Q8_0"),
    "F16": Recipe("F16", output="F16"),
}


def write_replica(path: Path, shape: ModelShape) -> Path:
    """A file that an engine takes for this model, with nothing but holes for weights."""
    writer = GGUFWriter(path, shape.architecture)
    for key, value in shape.metadata.items():
        if key not in ("general.architecture", "general.alignment"):
            _add(writer, key, value)
    if not any(key.startswith("tokenizer.ggml.") for key in shape.metadata):
        _add_vocabulary(
            writer, shape.array_lengths.get(_TOKENS, 0), merges=shape.array_lengths.get(_MERGES, 1)
        )
    for tensor in shape.tensors:
        writer.add_tensor_info(
            tensor.name,
            tuple(reversed(tensor.shape)),
            np.dtype(np.float32),
            tensor.size_bytes,
            raw_dtype=GGMLQuantizationType[tensor.type],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    data_start = _padded(path.stat().st_size)
    data_bytes = sum(_padded(tensor.size_bytes) for tensor in shape.tensors)
    with path.open("r+b") as file:
        file.truncate(max(data_start + data_bytes, shape.file_bytes))
    return path


def shape_from_facts(facts: Mapping[str, Any], quant: str) -> ModelShape:
    """The shape that the recorded figures of a model belong to. ``file_bytes`` is its tensors' alone."""
    keys = header_keys(facts)
    architecture = str(facts["arch"])
    tensors = tensor_table(architecture, keys, _RECORDED_MIXES[quant])
    return ModelShape(
        architecture=architecture,
        tensors=tensors,
        file_bytes=sum(_padded(tensor.size_bytes) for tensor in tensors),
        metadata=make_metadata(architecture, keys, title="replica"),
        array_lengths={_TOKENS: int(facts["vocab_size"])},
    )


def shape_from_capture(model: Mapping[str, Any], recipe: Recipe | None = None) -> ModelShape:
    """A model whose header and tensors were recorded: ``blk.*`` stands for the blocks behind it. ``recipe``:
    instead of the quant that was recorded."""
    metadata = {key: _value(value) for key, value in model["metadata"].items()}
    architecture = str(metadata["general.architecture"])
    blocks = int(model["metadata"][f"{architecture}.block_count"])
    names = [
        (name.replace("*", str(number), 1) if number is not None else name, tuple(dims))
        for name, dims, ranges in model["tensors"]
        for number in _numbers(ranges)
    ]
    tied = all(name != "output.weight" for name, _ in names)
    mix = recipe or _RECORDED_MIXES[model["quant"]]
    tensors = tuple(
        make_tensor(name, dims, type_of(name, dims, mix, blocks=blocks, tied=tied)) for name, dims in names
    )
    return ModelShape(
        architecture=architecture,
        tensors=tensors,
        file_bytes=sum(_padded(tensor.size_bytes) for tensor in tensors),
        metadata=metadata,
        array_lengths={_TOKENS: int(model["metadata"][f"{architecture}.vocab_size"])},
    )


def _value(value: Any) -> MetadataValue:
    return tuple(value) if isinstance(value, list) else value


def _numbers(ranges: str) -> list[int | None]:
    """``"0-3,5"`` as numbers; a name without a block stands once."""
    if not ranges:
        return [None]
    bounds = [part.split("-") for part in ranges.split(",")]
    return [number for part in bounds for number in range(int(part[0]), int(part[-1]) + 1)]


def header_keys(facts: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """GGUF keys (without the architecture) from the short facts beside recorded figures."""
    keys: dict[str, MetadataValue] = {
        "block_count": facts["block_count"],
        "context_length": facts["context_length"],
        "embedding_length": facts["embedding_length"],
        "feed_forward_length": facts["feed_forward_length"],
        "attention.head_count": facts["head_count"],
        "attention.head_count_kv": facts["head_count_kv"],
        "attention.key_length": facts["head_dim"],
        "attention.value_length": facts["head_dim"],
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": facts["head_dim"],
        "rope.freq_base": 10000.0,
        "vocab_size": facts["vocab_size"],
        "tied_embeddings": bool(facts.get("tied", False)),
        "rope_freqs": facts["arch"] == "llama",
    }
    if "experts" in facts:
        keys |= _expert_keys(facts)
    if "swa" in facts:
        keys["attention.sliding_window"] = facts["swa"]
    if "mla" in facts:
        keys |= _mla_keys(facts)
    if "ssm" in facts:
        keys |= _delta_net_keys(facts)
    return keys


def _expert_keys(facts: Mapping[str, Any]) -> dict[str, MetadataValue]:
    keys: dict[str, MetadataValue] = {
        "expert_count": facts["experts"],
        "expert_used_count": facts["used"],
        "expert_feed_forward_length": facts["ffx"],
    }
    if "shared" in facts and "ssm" not in facts:
        keys["expert_shared_count"] = facts["shared"]
    if "lead" in facts:
        keys["leading_dense_block_count"] = facts["lead"]
    return keys


def _mla_keys(facts: Mapping[str, Any]) -> dict[str, MetadataValue]:
    query_rank, rank, rope, key, value = facts["mla"]
    return {
        **({"attention.q_lora_rank": query_rank} if query_rank else {}),
        "attention.kv_lora_rank": rank,
        "attention.key_length": rank + rope,
        "attention.value_length": rank,
        "attention.key_length_mla": key + rope,
        "attention.value_length_mla": value,
        "rope.dimension_count": rope,
        "expert_weights_scale": 1.0,
        "expert_gating_func": 1,
    }


def _delta_net_keys(facts: Mapping[str, Any]) -> dict[str, MetadataValue]:
    kernel, state, groups, heads = facts["ssm"]
    return {
        "ssm.conv_kernel": kernel,
        "ssm.state_size": state,
        "ssm.group_count": groups,
        "ssm.time_step_rank": heads,
        "ssm.inner_size": state * heads,
        "full_attention_interval": 4,
        "expert_shared_feed_forward_length": facts["ffx"] * facts["shared"],
        "rope.dimension_count": facts["head_dim"] // 4,
    }


def _add(writer: GGUFWriter, key: str, value: MetadataValue) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        (writer.add_uint32 if 0 <= value < 1 << 32 else writer.add_int64)(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


def _add_vocabulary(writer: GGUFWriter, count: int, *, merges: int) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"t_{number}" for number in range(count)])
    writer.add_token_types([TokenType.NORMAL] * count)
    writer.add_token_merges(["t _", *(f"t_{number} _" for number in range(1, merges))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
