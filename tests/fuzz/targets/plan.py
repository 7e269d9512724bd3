"""What a header leads to: checks of its numbers, hyperparameters, an estimate of a command line, a plan.

An input names a model of the captures, which is cut to some layers, and says what differs from it.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from catalog.formats.header_limits import check_shape
from domain.errors import NodeError
from domain.launches.plan import LaunchOptions, LlamaFlags
from domain.models.ggml import BY_NAME
from domain.models.model import MetadataValue, ModelShape, ResolvedModel, Source, Tensor, WeightFile, Weights
from planner.choose import choose
from planner.llama_cpp.estimate import estimate
from tests.fuzz.machines import NAMES, machine
from tests.fuzz.mutation import json_mutation
from tests.fuzz.sources import json_object
from tests.planner import build

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 10_000, 256, 4096
LAYERS = 3
SEARCHES = 64  # a seed in so many is searched for a plan, which takes ten times as long as an estimate
MODELS = build.one_of_each_architecture()
KEYS = (
    "block_count", "embedding_length", "context_length", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.sliding_window",
    "attention.sliding_window_pattern", "expert_count", "expert_used_count", "expert_feed_forward_length",
    "ssm.inner_size", "ssm.state_size", "ssm.conv_kernel", "ssm.time_step_rank", "ssm.group_count",
    "attention.kv_lora_rank", "attention.key_length_mla", "rope.dimension_count", "nextn_predict_layers",
    "vocab_size", "attention.shared_kv_layers", "full_attention_interval", "leading_dense_block_count",
    "expert_shared_count", "wkv.head_size", "n_deepstack_layers", "attention.layer_indices",
    "altup.num_inputs",
    "rope.scaling.factor", "attention.chunk_size", "shortconv.l_cache", "token_shift_count",
    "attention.recurrent_layers", "attention.indexer.key_length", "kda.head_dim",
)  # fmt: skip
NAMES_OF_TENSORS = (
    "blk.0.ffn_gate_exps.weight", "blk.2.attn_q.weight", "blk.-1.attn_q.weight", "blk.00.attn_q.weight",
    "blk.999999999999.x.weight", "token_embd.weight", "output.weight", "blk.0.ssm_in.weight",
    "v.patch_embd.weight",
)  # fmt: skip
_mutate_json = json_mutation(
    (
        *KEYS,
        *NAMES_OF_TENSORS,
        *MODELS,
        *NAMES,
        *("F16", "Q4_K", "MXFP4", "IQ1_S"),
        *("best", "Q4_K_M"),
        [1, 1, 0],
        [0] * 3,
    )
)


def seeds() -> Iterator[bytes]:
    for number, model in enumerate(MODELS):
        given: dict[str, Any] = {
            "model": model,
            "keys": {},
            "tensors": [],
            "machine": NAMES[number % len(NAMES)],
        }
        given["search"] = number % SEARCHES == 0
        given["keys"] = {KEYS[number % len(KEYS)]: number}
        given["options"] = {"context_tokens": (None, 4096, 1)[number % 3], "parallel": (None, 4)[number % 2]}
        given["flags"] = {"gpu_layers": number % 5, "n_cpu_moe": number % 3, "context_tokens": 2048}
        yield json.dumps(given).encode()
    yield json.dumps({"model": MODELS[0], "tensors": [["blk.0.attn_q.weight", "Q4_0", [256, 64]]]}).encode()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return _mutate_json(data, rng)


def run(data: bytes) -> None:
    given = json_object(data)
    if given is None:
        return
    shape = changed(given)
    check_shape("x.gguf", shape)
    box = machine(str(given.get("machine")) if given.get("machine") in NAMES else NAMES[0])
    weights = Weights(
        Source.FILE, "/x", None, (WeightFile("x.gguf", shape.file_bytes),), "Q4_0", shape.file_bytes, "/x"
    )
    options = LaunchOptions(**_counts(given, "options", context_tokens=1 << 31, parallel=1024, threads=4096))
    flags = LlamaFlags(
        **_counts(
            given, "flags", gpu_layers=1 << 20, n_cpu_moe=1 << 20, context_tokens=1 << 31, parallel=1024
        )
    )
    estimate(shape, flags, box)
    if given.get("search") is True:
        choose.plan("x", [ResolvedModel(weights, shape)], box, options)


def changed(given: dict[str, Any]) -> ModelShape:
    """The named model with the keys and tensors that are given."""
    name = given.get("model")
    shape = _cut(name if name in MODELS else MODELS[0])
    metadata = dict(shape.metadata)
    keys = given.get("keys")
    for key, value in keys.items() if isinstance(keys, dict) else ():
        if (scalar := _scalar(value)) is not None:
            metadata[f"{shape.architecture}.{key}"] = scalar
    tensors = {tensor.name: tensor for tensor in shape.tensors}
    rows = given.get("tensors")
    for row in rows if isinstance(rows, list) else ():
        if (
            isinstance(row, list)
            and len(row) == 3
            and isinstance(row[2], list)
            and isinstance(row[1], str)
            and row[1] in BY_NAME
        ):
            dims = tuple(size for size in row[2] if isinstance(size, int))
            tensors[str(row[0])] = Tensor(str(row[0]), row[1], dims, 1 << 20)
    if isinstance(absent := given.get("without"), list):
        tensors = {name: tensor for name, tensor in tensors.items() if name not in absent} or tensors
    return replace(shape, metadata=metadata, tensors=tuple(tensors.values()))


@cache
def _cut(model: str) -> ModelShape:
    shape = build.published(model)
    blocks = shape.get("block_count")
    metadata = {
        key: value[:LAYERS] if isinstance(value, tuple) and len(value) == blocks else value
        for key, value in shape.metadata.items()
    }
    metadata[f"{shape.architecture}.block_count"] = LAYERS
    kept = tuple(tensor for tensor in shape.tensors if _layer(tensor.name) < LAYERS)
    size_bytes = sum(tensor.size_bytes for tensor in kept)
    return replace(shape, metadata=metadata, tensors=kept, file_bytes=size_bytes)


def _layer(name: str) -> int:
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" else 0


def _scalar(value: Any) -> MetadataValue | None:
    """As a reader of headers gives it: nothing nested."""
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, int | float | str))
    return value if isinstance(value, int | float | str) else None


def _counts(given: dict[str, Any], part: str, **most: int) -> dict[str, int]:
    """What the API lets through: counts in their ranges."""
    values = given.get(part)
    return {
        name: value
        for name, limit in most.items()
        if isinstance(values, dict) and type(value := values.get(name)) is int and 1 <= value <= limit
    }
