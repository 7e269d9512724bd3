"""Headers of GGUF files."""

import random
import struct
from collections.abc import Iterator

from catalog.formats.gguf.reader import read_model
from domain.errors import NodeError
from tests.catalog.build import Raw
from tests.fuzz.mutation import byte_mutation
from tests.fuzz.sources import Memory

ALLOWED = (NodeError,)
CPU_LIMIT_MS, MEMORY_LIMIT_MIB, MAX_BYTES = 500, 64, 16384
BODY_BYTES = 1 << 16  # of weights that a header may speak of
U32, U64, F32 = (struct.Struct(code).pack for code in ("<I", "<Q", "<f"))
KEYS = (
    b"block_count",
    b"embedding_length",
    b"context_length",
    b"attention.head_count",
    b"feed_forward_length",
)
MATRIX = (64, 64)


def seeds() -> Iterator[bytes]:
    raw = Raw(tensors=3, keys=9).key(b"general.architecture", 8, U64(5) + b"llama")
    for key in KEYS:
        raw = raw.key(b"llama." + key, 4, U32(64 if key == b"embedding_length" else 2))
    raw = raw.key(b"llama.rope.freq_base", 6, F32(1e4)).array(
        b"llama.attention.head_count_kv", 4, 2, U32(2) * 2
    )
    raw = raw.array(b"tokenizer.ggml.tokens", 8, 20, (U64(2) + b"ab") * 20)
    for number, name in enumerate((b"token_embd.weight", b"blk.0.attn_q.weight", b"blk.1.ffn_down.weight")):
        raw = raw.tensor(name, MATRIX, 0, number * 16384)
    yield raw.data
    yield (
        Raw(tensors=1, keys=1)
        .key(b"general.architecture", 8, U64(5) + b"mamba")
        .tensor(b"x", (32,), 2, 0)
        .data
    )


def mutate(data: bytes, rng: random.Random) -> bytes:
    return byte_mutation(data, rng)


def run(data: bytes) -> None:
    read_model("x.gguf", lambda name: Memory(name, data, len(data) + BODY_BYTES))
