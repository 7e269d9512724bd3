"""Headers of models of any architecture and any tensor type, without weights: what follows is a hole."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.rigs.hub_files import Hollow

# id, values and bytes of a block. Source: ggml.h of llama.cpp b11434.
TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q8_0": (8, 32, 34),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "IQ2_XXS": (16, 256, 66),
    "IQ1_S": (19, 256, 50),
    "IQ1_M": (29, 256, 56),
    "MXFP4": (39, 32, 17),
    "Q2_0": (42, 64, 18),
    "FORK": (142, 128, 34),  # of a fork: no build of llama.cpp has it
}
ALIGNMENT = 32
Row = tuple[str, tuple[int, ...], str]


def header(architecture: str, tensors: Sequence[Row], keys: Mapping[str, object]) -> Hollow:
    """A key is one of the architecture, unless it begins with a sign: ``=split.no``."""
    full = {"general.architecture": architecture, "general.name": "test"}
    full |= {key[1:] if key[0] == "=" else f"{architecture}.{key}": value for key, value in keys.items()}
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(full))]
    parts += [_text(key) + _typed(value) for key, value in full.items()]
    offset = 0
    for name, shape, kind in tensors:
        number, values, count_bytes = TYPES[kind]
        parts.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset))
        elements = 1
        for length in shape:
            elements *= length
        offset += _aligned(elements // values * count_bytes)
    head = b"".join(parts)
    return Hollow(head, _aligned(len(head)) + offset)


def write(folder: Path, name: str, file: Hollow) -> Path:
    """As a sparse file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.head)
    with path.open("r+b") as out:
        out.truncate(file.size_bytes)
    return path


def dense(
    architecture: str = "qwen3", *, kind: str = "Q4_K", layers: int = 6, **sizes: int
) -> tuple[list[Row], dict[str, object]]:
    """The tensors and keys of a decoder with norms of queries and keys, unless it is a llama."""
    width, heads = sizes.get("width", 512), sizes.get("heads", 8)
    kv, head = sizes.get("kv", 2), sizes.get("head", 64)
    wide, words = sizes.get("wide", 1536), sizes.get("words", 2048)
    rows: list[Row] = [("token_embd.weight", (width, words), kind)]
    has_norms = architecture != "llama"
    norms = (("attn_q_norm", (head,), "F32"), ("attn_k_norm", (head,), "F32")) if has_norms else ()
    for block in range(layers):
        rows += [
            (f"blk.{block}.{name}.weight", shape, which)
            for name, shape, which in (
                ("attn_norm", (width,), "F32"),
                ("attn_q", (width, heads * head), kind),
                ("attn_k", (width, kv * head), kind),
                ("attn_v", (width, kv * head), kind),
                ("attn_output", (heads * head, width), kind),
                *norms,
                ("ffn_norm", (width,), "F32"),
                ("ffn_gate", (width, wide), kind),
                ("ffn_up", (width, wide), kind),
                ("ffn_down", (wide, width), kind),
            )
        ]
    rows += [("output_norm.weight", (width,), "F32"), ("output.weight", (width, words), kind)]
    keys: dict[str, object] = {
        "block_count": layers,
        "context_length": sizes.get("context", 32768),
        "embedding_length": width,
        "feed_forward_length": wide,
        "attention.head_count": heads,
        "attention.head_count_kv": kv,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": head,
        "vocab_size": words,
        **vocabulary(words if words < 10000 else 0),
    }
    return rows, keys


def experts(kind: str, *, of_experts: str, layers: int = 24) -> tuple[list[Row], dict[str, object]]:
    """A Qwen3 MoE with 64 experts of 768."""
    rows, keys = dense(
        "qwen3moe", kind=kind, layers=layers, width=2048, heads=16, kv=4, head=128, words=32000
    )
    kept = [
        row
        for row in rows
        if "ffn_gate" not in row[0] and "ffn_up" not in row[0] and "ffn_down" not in row[0]
    ]
    for block in range(layers):
        begin = f"blk.{block}.ffn_"
        kept.append((f"{begin}gate_inp.weight", (2048, 64), "F32"))
        for part, shape in (("gate", (2048, 768, 64)), ("up", (2048, 768, 64)), ("down", (768, 2048, 64))):
            kept.append((f"{begin}{part}_exps.weight", shape, of_experts))
    counts = {"expert_count": 64, "expert_used_count": 8, "expert_feed_forward_length": 768}
    return kept, keys | counts | {"context_length": 262144}


def encoder(*, pooling: int, ranks: bool = False, **sizes: int) -> tuple[list[Row], dict[str, object]]:
    """A BERT, with a head that ranks or without."""
    width, wide, words = sizes.get("width", 256), sizes.get("wide", 512), sizes.get("words", 3000)
    context, layers = sizes.get("context", 512), sizes.get("layers", 2)
    rows: list[Row] = [
        ("token_embd.weight", (width, words), "F16"),
        ("position_embd.weight", (width, context), "F16"),
        ("token_types.weight", (width, 1), "F32"),
        *_with_bias("token_embd_norm", (width,), "F32"),
    ]
    for block in range(layers):
        begin = f"blk.{block}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            rows += _with_bias(f"{begin}{name}", (width, width), "F16")
        for name in ("attn_output_norm", "layer_output_norm"):
            rows += _with_bias(f"{begin}{name}", (width,), "F32")
        rows += _with_bias(f"{begin}ffn_up", (width, wide), "F16")
        rows += _with_bias(f"{begin}ffn_down", (wide, width), "F16")
    if ranks:
        rows += [*_with_bias("cls", (width, width), "F16"), *_with_bias("cls.output", (width, 1), "F16")]
    keys: dict[str, object] = {
        "block_count": layers,
        "context_length": context,
        "embedding_length": width,
        "feed_forward_length": wide,
        "attention.head_count": sizes.get("heads", 4),
        "attention.layer_norm_epsilon": 1e-5,
        "attention.causal": False,
        "pooling_type": pooling,
        "=tokenizer.ggml.token_type_count": 1,
        "=tokenizer.ggml.model": "t5",
        "=tokenizer.ggml.tokens": [f"t{number}" for number in range(words)],
        "=tokenizer.ggml.scores": [0.0] * words,
        "=tokenizer.ggml.token_type": [1] * words,
        "=tokenizer.ggml.eos_token_id": 2,
        "=tokenizer.ggml.bos_token_id": 0,
        "=tokenizer.ggml.unknown_token_id": 3,
    }
    return rows, keys


def _with_bias(name: str, shape: tuple[int, ...], kind: str) -> list[Row]:
    return [(f"{name}.weight", shape, kind), (f"{name}.bias", shape[-1:], "F32")]


def vocabulary(words: int) -> dict[str, object]:
    if not words:
        return {"=tokenizer.ggml.model": "none"}
    return {
        "=tokenizer.ggml.model": "gpt2",
        "=tokenizer.ggml.pre": "default",
        "=tokenizer.ggml.tokens": [f"t{number}" for number in range(words)],
        "=tokenizer.ggml.token_type": [1] * words,
        "=tokenizer.ggml.merges": ["t 0"],
        "=tokenizer.ggml.eos_token_id": 0,
        "=tokenizer.ggml.bos_token_id": 0,
    }


def parts(
    tensors: Sequence[Row], keys: Mapping[str, object], architecture: str, count: int
) -> Iterator[Hollow]:
    """A model cut into files, as llama-gguf-split does: only the first has the keys."""
    for number in range(count):
        begin, end = number * len(tensors) // count, (number + 1) * len(tensors) // count
        split = {"=split.no": number, "=split.count": count, "=split.tensors.count": len(tensors)}
        yield header(architecture, tensors[begin:end], {**(keys if number == 0 else {}), **split})


def _aligned(count_bytes: int) -> int:
    return -(-count_bytes // ALIGNMENT) * ALIGNMENT


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _typed(value: object) -> bytes:
    if isinstance(value, list):
        kind = {str: 8, float: 6}.get(type(value[0]), 5)
        form = "<f" if kind == 6 else "<i"
        items = b"".join(_text(item) if kind == 8 else struct.pack(form, item) for item in value)
        return struct.pack("<IIQ", 9, kind, len(value)) + items
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    return (
        struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, int(str(value)))
    )
