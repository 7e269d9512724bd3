"""Headers of safetensors files, with the bytes of their length before them."""

import json
import random
import struct
from collections.abc import Iterator

from catalog.formats.safetensors.reader import read_tensors
from domain.errors import NodeError
from tests.fuzz.mutation import byte_mutation, json_mutation
from tests.fuzz.sources import Memory

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 16384
BODY_BYTES = 4096
_mutate_json = json_mutation(
    ("dtype", "shape", "data_offsets", "__metadata__", "F16", "BF16", "F4", "I64", [0, 128], [8, 8], [])
)


def seeds() -> Iterator[bytes]:
    tensors = {
        "__metadata__": {"format": "pt"},
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [8, 8], "data_offsets": [0, 128]},
        "model.layers.0.mlp.up_proj.weight": {
            "dtype": "F8_E4M3",
            "shape": [16, 8],
            "data_offsets": [128, 256],
        },
        "model.layers.0.scale": {"dtype": "F32", "shape": [], "data_offsets": [256, 260]},
    }
    yield _with_length(json.dumps(tensors).encode())
    yield _with_length(b"{}")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Seven of eight keep the length right."""
    if len(data) < 8 or rng.random() < 0.125:
        return byte_mutation(data, rng)
    return _with_length(_mutate_json(data[8:].rstrip(b"\0"), rng))


def run(data: bytes) -> None:
    read_tensors(Memory("model.safetensors", data, len(data) + BODY_BYTES))


def _with_length(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
