"""config.json, the files beside it and the index of shards: read, checked, and planned with for vLLM."""

import json
import random
from collections.abc import Iterator
from typing import Any

from catalog.formats.safetensors import kinds, quant_method, reader, sentence_transformers, shards
from catalog.formats.safetensors.reader import read_folder, read_index
from domain.errors import NodeError, UnknownModelError
from domain.launches.plan import VLLM, LaunchOptions, VllmFlags
from domain.models.model import ModelShape, ResolvedModel, Source, WeightFile, Weights
from planner.choose import choose
from planner.vllm.estimate import estimate
from tests.fuzz.machines import machine
from tests.fuzz.mutation import json_mutation
from tests.fuzz.sources import Memory, json_object

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 16384
TENSORS = b'{"w":{"dtype":"F16","shape":[8,8],"data_offsets":[0,128]}}'
FILE = len(TENSORS).to_bytes(8, "little") + TENSORS
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 256,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "tie_word_embeddings": True,
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "nvfp4-pack-quantized",
        "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float"}}},
    },
}
MIXED = {
    "model_type": "qwen3_next",
    "architectures": ["Qwen3NextForCausalLM"],
    "hidden_size": 64,
    "head_dim": 16,
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "sliding_window": 1024,
    "text_config": {"model_type": "x", "hidden_size": 64, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
}
_mutate_json = json_mutation(
    (
        *LLAMA,
        *MIXED,
        "fp8",
        "awq",
        "gptq",
        "modelopt",
        "NVFP4",
        "auto-round",
        "bits",
        "model-00001-of-00002.safetensors",
        "pooling_mode_mean_tokens",
        "max_seq_length",
        "XLMRobertaForSequenceClassification",
    )
)


def seeds() -> Iterator[bytes]:
    index = {"metadata": {"total_size": 1}, "weight_map": {"w": "m.safetensors", "v": "m2.safetensors"}}
    for config in (LLAMA, MIXED):
        yield json.dumps({"config": config, "quantize": {"bits": 4}, "index": index}).encode()
    modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    pooled = {
        "modules": modules,
        "pooling": {"pooling_mode_cls_token": True},
        "length": {"max_seq_length": 512},
    }
    yield json.dumps({"config": {**LLAMA, "architectures": ["Qwen3ForCausalLM"]}, **pooled}).encode()
    yield json.dumps(
        {"config": {"model_type": "x"}, "modelopt": {"quantization": {"quant_algo": "FP8"}}}
    ).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_json(data, rng)


def run(data: bytes) -> None:
    """The input holds the files by name; one that is no JSON is config.json itself."""
    files = {"m.safetensors": FILE, reader.CONFIG: data}
    parts = json_object(data) or {}
    if "config" in parts:
        files[reader.CONFIG] = _text(parts["config"])
        files["quantize_config.json"] = _text(parts.get("quantize"))
        files["hf_quant_config.json"] = _text(parts.get("modelopt"))
        files[shards.INDEX] = _text(parts.get("index"))
        files[sentence_transformers.MODULES] = _text(parts.get("modules"))
        files["1_Pooling/config.json"] = _text(parts.get("pooling"))
        files[sentence_transformers.LENGTH_FILES[0]] = _text(parts.get("length"))

    def open_source(name: str) -> Memory:
        if name not in files:
            raise UnknownModelError(name)
        return Memory(name, files[name], len(files[name]) + (128 if name == "m.safetensors" else 0))

    present = [name for name in files if files[name] != b"null"]
    try:
        shards.shards_of(tuple(present), lambda: read_index(open_source))
    finally:
        shape = read_folder(("m.safetensors",), open_source, siblings=present)
        use(shape)


def use(shape: ModelShape) -> None:
    box = machine("dual-rtx-3090")
    quant = quant_method.kind_of(shape)
    size_bytes = max(1, shape.file_bytes)
    weights = Weights(
        Source.FILE, "x", None, (WeightFile("m.safetensors", size_bytes),), quant, size_bytes, "/x",
        kind=kinds.kind_of(shape),
    )  # fmt: skip
    try:
        estimate(shape, VllmFlags(), box, quant=quant)
    finally:
        choose.plan("x", [ResolvedModel(weights, shape, engine=VLLM)], box, LaunchOptions(engine=VLLM))


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()
