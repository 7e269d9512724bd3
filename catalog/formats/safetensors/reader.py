"""Safetensors headers, for the exact bytes of each tensor, and config.json, for the model's parameters.

Source of the format: the safetensors README: 8 bytes of length, a JSON object, then the data.
"""

import struct
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

from catalog.formats.byte_source import ByteSource
from catalog.formats.header_limits import MAX_NAME_CHARS, MAX_TENSORS, check_shape, check_tensor
from catalog.formats.safetensors import mistral, sentence_transformers
from catalog.formats.safetensors.json_reader import MAX_JSON_BYTES, TensorEntry, parse_object, parse_table
from catalog.formats.safetensors.shards import CONFIG, INDEX, PARAMS, config_name
from domain.errors import BadModelError
from domain.models.model import MetadataValue, ModelShape, Scalar, Tensor

MAX_DEPTH = 16  # of objects in config.json
MAX_LIST_LENGTH = 4096
FIRST_READ_BYTES = 64 * 1024  # the whole header of a shard with about 500 tensors
# Files that hold ``quantization_config`` if config.json does not, with the method. Source: vLLM 0.32.0,
# get_config_filenames.
METHOD_FILES = {
    "hf_quant_config.json": "modelopt",
    "quantize_config.json": "gptq",
    "quant_config.json": "awq",
}
# Bits of each dtype. Source: safetensors, enum Dtype.
DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}

Opener = Callable[[str], ByteSource]


def read_folder(
    names: tuple[str, ...], open_source: Opener, *, siblings: Collection[str] = (), threads: int = 1
) -> ModelShape:
    """The shape of a model from its config.json, or params.json, and its safetensors ``names``. ``siblings``
    may be files with its quantization_config. Raises: BadModelError."""
    described_by = config_name(siblings, names)
    config = parse_object(_read_all(open_source, described_by), described_by)
    if described_by == PARAMS:
        config = mistral.config_of(config)
    architecture = config.get("model_type")
    if not isinstance(architecture, str):
        raise BadModelError(f"{CONFIG} names no model_type")
    config = {**_quantization(config, open_source, siblings), **config}

    def read(name: str) -> tuple[list[Tensor], int]:
        source = open_source(name)
        try:
            return read_tensors(source), source.size_bytes
        finally:
            source.close()

    tensors, file_bytes = dict[str, Tensor](), 0
    with ThreadPoolExecutor(threads) if len(names) > 1 else nullcontext() as pool:
        for table, size_bytes in (pool.map if pool else map)(read, names):
            tensors |= {tensor.name: tensor for tensor in table}
            file_bytes += size_bytes
            if len(tensors) > MAX_TENSORS:
                raise BadModelError(f"{CONFIG}: its model has more than {MAX_TENSORS} tensors")
    if not tensors:
        raise BadModelError(f"{', '.join(names[:3])}: no file of the model has a tensor")
    metadata: dict[str, MetadataValue] = {"general.architecture": architecture}
    if described_by == PARAMS:
        metadata[mistral.FORMAT_KEY] = mistral.FORMAT
    metadata |= sentence_transformers.read(siblings, lambda name: _read_all(open_source, name))
    _flatten(config, architecture, metadata)
    shape = ModelShape(architecture, tuple(tensors.values()), file_bytes, metadata)
    check_shape(described_by, shape)
    return shape


def read_index(open_source: Opener) -> tuple[str, ...]:
    """The files that the index of a sharded model names. Raises: BadModelError."""
    files = parse_object(_read_all(open_source, INDEX), INDEX).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise BadModelError(f"{INDEX} has no weight_map of tensors to files")
    return tuple(dict.fromkeys(files.values()))


def _quantization(
    config: Mapping[str, Any], open_source: Opener, siblings: Collection[str]
) -> dict[str, Any]:
    """``quantization_config`` from a file of its own, as older tools write it."""
    if "quantization_config" in config:
        return {}
    for name, method in METHOD_FILES.items():
        if name in siblings:
            content = parse_object(_read_all(open_source, name), name)
            nested = content.get("quantization")  # ModelOpt's
            fields = nested if isinstance(nested, dict) else content
            return {"quantization_config": {"quant_method": method, **fields}}
    return {}


def read_tensors(source: ByteSource) -> list[Tensor]:
    """The tensors of one file. Raises: BadModelError."""
    start = source.read(0, FIRST_READ_BYTES)
    if len(start) < 8:
        raise BadModelError(f"{source.name} is truncated: {source.size_bytes} bytes")
    length = struct.unpack("<Q", start[:8])[0]
    if length > min(source.size_bytes - 8, MAX_JSON_BYTES):
        raise BadModelError(
            f"{source.name} is not a usable safetensors file: "
            f"a header of {length} bytes in {source.size_bytes}"
        )
    text = start[8 : 8 + length]
    if len(text) < length:
        text += source.read(8 + len(text), length - len(text))
    data_bytes = source.size_bytes - 8 - length
    layouts: dict[tuple[str, tuple[int, ...]], _Layout] = {}
    return [
        _parse_tensor(source.name, name, entry, data_bytes, layouts)
        for name, entry in parse_table(text, source.name)
    ]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What tensors of one dtype and shape share: checked, computed and held once."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


def _parse_tensor(
    file: str,
    name: str,
    entry: TensorEntry,
    data_bytes: int,
    layouts: dict[tuple[str, tuple[int, ...]], _Layout],
) -> Tensor:
    key = entry.dtype, entry.shape
    layout = layouts.get(key)
    if layout is None:
        layout = layouts[key] = _layout(file, name, entry)
    start, end = entry.data_offsets
    if not 0 <= start <= end <= data_bytes or end - start != layout.size_bytes:
        raise BadModelError(
            f"{file} is truncated or damaged: {name!r} lies at {start} to {end} of {data_bytes} bytes of data"
        )
    return Tensor(name, layout.dtype, layout.shape, layout.size_bytes)


def _layout(file: str, name: str, entry: TensorEntry) -> _Layout:
    check_tensor(file, name, entry.shape)
    bits = DTYPE_BITS.get(entry.dtype)
    if bits is None:
        raise BadModelError(f"{file}: the tensor {name!r} has the unknown type {entry.dtype[:16]!r}")
    return _Layout(entry.dtype, entry.shape, prod(entry.shape) * bits // 8)


def _read_all(open_source: Opener, name: str) -> bytes:
    source = open_source(name)
    try:
        if source.size_bytes > MAX_JSON_BYTES:
            raise BadModelError(f"{name} has {source.size_bytes} bytes, more than {MAX_JSON_BYTES}")
        return source.read(0, source.size_bytes)
    finally:
        source.close()


def _flatten(
    config: Mapping[str, Any], prefix: str, metadata: dict[str, MetadataValue], depth: int = 1
) -> None:
    """``{"a": {"b": 1}}`` -> ``prefix.a.b``; lists of objects, long lists and nulls are left out."""
    if depth > MAX_DEPTH:
        raise BadModelError(f"{CONFIG}: more than {MAX_DEPTH} objects lie inside one another")
    for key, value in config.items():
        name = f"{prefix}.{key}"
        if len(name) > MAX_NAME_CHARS:
            raise BadModelError(f"{CONFIG}: the key {name[:60]!r}... has {len(name)} characters")
        if isinstance(value, Mapping):
            _flatten(value, name, metadata, depth + 1)
        elif isinstance(value, Scalar):
            metadata[name] = value
        elif _is_list_of_scalars(value):
            metadata[name] = tuple(value)


def _is_list_of_scalars(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_LIST_LENGTH
        and all(isinstance(item, Scalar) for item in value)
    )
