"""Headers as our reader and as the ``gguf`` package read them: the same."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFValueType

from catalog.formats.gguf.reader import part_names, read_file
from domain.errors import BadModelError
from domain.model import ModelShape
from domain.units import MIB
from tests.catalog.build import PLAIN, gguf_file


def assert_same_as_the_package_reads(path: Path, shape: ModelShape) -> None:
    reader = GGUFReader(path)
    theirs = [
        (item.name, item.tensor_type.name, tuple(int(dim) for dim in item.shape), item.n_bytes)
        for item in reader.tensors
    ]
    assert [(item.name, item.type, item.shape, item.size_bytes) for item in shape.tensors] == theirs
    for key, item in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        is_array = item.types[0] is GGUFValueType.ARRAY
        if is_array and len(item.data) > 4096:
            assert shape.array_lengths[key] == len(item.data)
            assert key not in shape.metadata
        else:
            expected = item.contents()
            assert shape.metadata[key] == (tuple(expected) if is_array else expected)
    assert len(shape.metadata) + len(shape.array_lengths) == len(reader.fields) - 3


def test_a_written_file_reads_as_the_package_reads_it(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf")
    shape = read_file(path)
    assert_same_as_the_package_reads(path, shape)
    assert shape.architecture == "llama"
    assert shape.get("block_count") == 1
    assert shape.file_bytes == path.stat().st_size


def test_a_real_model_reads_as_the_package_reads_it(smollm2: Path) -> None:
    assert_same_as_the_package_reads(smollm2, read_file(smollm2))


def test_version_2_reads_as_version_3_does(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "model.gguf")
    expected = read_file(path)
    data = bytearray(path.read_bytes())
    assert data[4:8] == struct.pack("<I", 3)
    data[4:8] = struct.pack("<I", 2)
    path.write_bytes(data)
    shape = read_file(path)
    assert shape == expected
    assert {item.name for item in shape.tensors} == set(PLAIN)
    assert shape.get("context_length") == 2048


@pytest.mark.parametrize("part", [1, 2, 3])
def test_any_part_of_a_split_model_leads_to_all_of_it(tmp_path: Path, part: int) -> None:
    gguf_file(tmp_path / "model.gguf", split_max_tensors=2)
    whole = read_file(gguf_file(tmp_path / "whole.gguf"))
    names = sorted(path.name for path in tmp_path.glob("model-*.gguf"))
    assert names == list(part_names(names[0]))
    shape = read_file(tmp_path / names[min(part, len(names)) - 1])
    assert {item.name for item in shape.tensors} == set(PLAIN)
    assert set(shape.tensors) == set(whole.tensors)
    assert shape.file_bytes == sum((tmp_path / name).stat().st_size for name in names)
    assert shape.get("context_length") == 2048


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    gguf_file(tmp_path / "model.gguf", split_max_tensors=2)
    first, second = sorted(tmp_path.glob("model-*.gguf"))
    second.unlink()
    with pytest.raises(BadModelError, match=second.name):
        read_file(first)


def test_parts_of_two_models_do_not_mix(tmp_path: Path) -> None:
    gguf_file(tmp_path / "model.gguf", split_max_tensors=2)
    first, second = sorted(tmp_path.glob("model-*.gguf"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(BadModelError, match="part 1 of 2 by name"):
        read_file(first)


def test_a_big_vocabulary_is_hopped_over_in_little_memory(tmp_path: Path) -> None:
    """As many texts as 200 000 tokens and 450 000 merges are: 13 MB of header."""
    path = gguf_file(tmp_path / "big.gguf", tokens=650_000)
    tracemalloc.start()
    try:
        shape = read_file(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert shape.array_lengths["tokenizer.ggml.tokens"] == 650_000
    assert peak_bytes < 5 * MIB < path.stat().st_size
