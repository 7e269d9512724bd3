"""Small real GGUF and safetensors files, for tests."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quant_shape_to_byte_shape

Types = dict[str, tuple[tuple[int, ...], GGMLQuantizationType]]
PLAIN: Types = {
    "token_embd.weight": ((64, 256), GGMLQuantizationType.Q4_K),
    "blk.0.attn_q.weight": ((64, 256), GGMLQuantizationType.Q8_0),
    "blk.0.ffn_down_exps.weight": ((4, 8, 32), GGMLQuantizationType.MXFP4),
    "output_norm.weight": ((256,), GGMLQuantizationType.F32),
}


def gguf_file(
    path: Path,
    *,
    tensors: Types | None = None,
    tokens: int = 5000,
    split_max_tensors: int = 0,
    quant: int = 15,
    blocks: int = 1,
) -> Path:
    """A llama of a few kilobytes, with a vocabulary and every kind of value."""
    writer = GGUFWriter(path, "llama", split_max_tensors=split_max_tensors)
    writer.add_block_count(blocks)
    writer.add_context_length(2048)
    writer.add_file_type(quant)
    writer.add_rope_freq_base(10000.0)
    writer.add_bool("test.flag", True)
    writer.add_int8("test.small", -3)
    writer.add_uint64("test.large", 1 << 40)
    writer.add_float64("test.double", 0.1)
    writer.add_string("test.text", "Grüße")
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {number}" for number in range(tokens)])
    writer.add_token_types([TokenType.NORMAL] * tokens)
    for name, (shape, kind) in (PLAIN if tensors is None else tensors).items():
        writer.add_tensor(name, _zeros(shape, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def headed(path: Path, architecture: str, tensors: Mapping[str, tuple[int, ...]], **keys: object) -> Path:
    """A file of F16 zeros with these keys: ``__`` is a dot, and one without it is of the architecture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, architecture)
    for key, value in keys.items():
        name = key.replace("__", ".") if "__" in key else f"{architecture}.{key}"
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        add.get(type(value), writer.add_string)(name, value)
    for name, shape in tensors.items():
        writer.add_tensor(name, np.zeros(shape, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _zeros(shape: tuple[int, ...], kind: GGMLQuantizationType) -> np.ndarray:
    if kind is GGMLQuantizationType.F32:
        return np.zeros(shape, np.float32)
    return np.zeros(quant_shape_to_byte_shape(shape, kind), np.uint8)


def safetensors(tensors: dict[str, tuple[str, tuple[int, ...], int]]) -> bytes:
    """A file of zeros with these tensors: name -> (dtype, shape, bytes)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


class Raw:
    """A GGUF file byte by byte, for what no writer would write."""

    def __init__(self, *, tensors: int = 0, keys: int = 0, version: int = 3, magic: bytes = b"GGUF") -> None:
        self.data = magic + struct.pack("<IQQ", version, tensors, keys)

    def text(self, value: bytes, *, length: int | None = None) -> "Raw":
        self.data += struct.pack("<Q", len(value) if length is None else length) + value
        return self

    def key(self, name: bytes, kind: int, value: bytes) -> "Raw":
        self.text(name)
        self.data += struct.pack("<I", kind) + value
        return self

    def array(self, name: bytes, kind: int, count: int, value: bytes = b"") -> "Raw":
        return self.key(name, 9, struct.pack("<IQ", kind, count) + value)

    def tensor(self, name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> "Raw":
        self.text(name)
        self.data += struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        return self

    def body(self, count: int) -> "Raw":
        self.data += bytes(-len(self.data) % 32 + count)
        return self
