"""Headers as our reader and as the ``gguf`` package read them: the same."""

import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType

from catalog.formats.byte_source import FileSource
from catalog.formats.gguf.reader import Header, part_names, read_file, read_model
from domain.errors import BadModelError
from domain.models.model import ModelShape
from domain.units import MIB
from tests.catalog.build import PLAIN, Raw, Types, gguf_file


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


class CountingSource(FileSource):
    """Tells how many bytes were read of it, and whether it was closed."""

    read_bytes = 0
    is_closed = False

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self.read_bytes += len(data)
        return data

    def close(self) -> None:
        super().close()
        self.is_closed = True


def read_with(path: Path, similar: list[Header]) -> tuple[ModelShape, CountingSource]:
    source = CountingSource(path)
    return read_model(path.name, lambda _: source, similar=similar), source


OTHER_QUANT: Types = {**PLAIN, "blk.0.attn_q.weight": ((64, 256), GGMLQuantizationType.Q4_K)}


def test_a_quant_with_its_tensors_at_the_same_place_is_read_without_its_vocabulary(tmp_path: Path) -> None:
    similar: list[Header] = []
    first, whole = read_with(gguf_file(tmp_path / "a.gguf", tokens=20_000), similar)
    path = gguf_file(tmp_path / "b.gguf", tokens=20_000, tensors=OTHER_QUANT, quant=7)
    second, part = read_with(path, similar)
    alone = read_file(path)
    assert (second.tensors, second.file_bytes) == (alone.tensors, path.stat().st_size)
    assert second.tensors != first.tensors
    assert second.array_lengths == alone.array_lengths
    assert second.metadata == {
        key: alone.metadata[key] for key in alone.metadata if key != "general.file_type"
    }
    assert part.read_bytes < 0.02 * whole.read_bytes
    assert whole.is_closed
    assert part.is_closed
    assert len(similar) == 1


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param({**PLAIN, "output_norm.weight": ((512,), GGMLQuantizationType.F32)}, id="dimensions"),
        pytest.param(
            {name.replace("output_norm", "outputtnorm"): kind for name, kind in PLAIN.items()}, id="names"
        ),
    ],
)
def test_another_model_with_its_tensors_at_the_same_place_is_read_as_itself(
    tmp_path: Path, tensors: Types
) -> None:
    similar: list[Header] = []
    read_with(gguf_file(tmp_path / "a.gguf"), similar)
    path = gguf_file(tmp_path / "b.gguf", tensors=tensors, blocks=2)
    shape, _ = read_with(path, similar)
    assert shape == read_file(path)
    assert shape.get("block_count") == 2
    assert len(similar) == 2


def test_a_model_with_its_tensors_elsewhere_is_read_as_itself(tmp_path: Path) -> None:
    similar: list[Header] = []
    read_with(gguf_file(tmp_path / "a.gguf"), similar)
    for path in (gguf_file(tmp_path / "b.gguf", tokens=4000), gguf_file(tmp_path / "c.gguf", tokens=6000)):
        assert read_with(path, similar)[0] == read_file(path)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("m.gguf", ("m.gguf",)),
        ("m-00002-of-00002.gguf", ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")),
        ("m-00001-of-00000.gguf", ("m-00001-of-00000.gguf",)),
        ("sub/m-00001-of-00001.gguf", ("sub/m-00001-of-00001.gguf",)),
        ("m-1-of-2.gguf", ("m-1-of-2.gguf",)),
    ],
)
def test_parts_are_known_by_their_names(name: str, names: tuple[str, ...]) -> None:
    assert part_names(name) == names


def test_a_name_that_claims_ever_so_many_parts_leads_to_a_thousand_at_most() -> None:
    assert len(part_names("m-00001-of-99999.gguf")) == 1024


def test_missing_parts_are_named_with_where_they_belong(tmp_path: Path) -> None:
    gguf_file(tmp_path / "model.gguf", split_max_tensors=1)
    first, *others = sorted(tmp_path.glob("model-*.gguf"))
    for path in others:
        path.unlink()
    with pytest.raises(BadModelError) as failed:
        read_file(first)
    assert str(failed.value).startswith(f"{first.name} is one of {1 + len(others)} parts, of which ")
    assert all(path.name in str(failed.value) for path in others[:3])
    assert str(tmp_path) in failed.value.hint


def one_part(path: Path, *, number: int, tensor: bytes, tensors: int, count: int = 2) -> Path:
    """A part of a split model; ``tensors`` is how many it says that all parts have."""
    raw = Raw(tensors=1, keys=4).key(b"general.architecture", 8, struct.pack("<Q", 5) + b"llama")
    raw.key(b"split.count", 2, struct.pack("<H", count)).key(b"split.no", 2, struct.pack("<H", number))
    raw.key(b"split.tensors.count", 5, struct.pack("<i", tensors))
    path.write_bytes(raw.tensor(tensor, (32,), 0, 0).body(128).data)
    return path


def test_parts_that_have_fewer_tensors_than_they_say_are_no_model(tmp_path: Path) -> None:
    for number in (0, 1):
        one_part(
            tmp_path / f"m-0000{number + 1}-of-00002.gguf", number=number, tensor=b"t%d" % number, tensors=3
        )
    with pytest.raises(BadModelError, match="its parts have 2 tensors instead of 3"):
        read_file(tmp_path / "m-00001-of-00002.gguf")


def test_parts_with_the_same_tensor_are_no_model(tmp_path: Path) -> None:
    for number in (0, 1):
        path = one_part(
            tmp_path / f"m-0000{number + 1}-of-00002.gguf", number=number, tensor=b"same", tensors=2
        )
    with pytest.raises(BadModelError, match="two of its parts have the same tensor"):
        read_file(path)


def test_a_part_that_was_given_another_name_is_told(tmp_path: Path) -> None:
    path = one_part(tmp_path / "model.gguf", number=0, tensor=b"t", tensors=2)
    with pytest.raises(BadModelError, match="is part 0 of 1 by name, 0 of 2 by header") as failed:
        read_file(path)
    assert "keeps its name" in failed.value.hint


def test_a_split_of_one_part_is_a_model(tmp_path: Path) -> None:
    path = one_part(tmp_path / "model.gguf", number=0, tensor=b"t", tensors=1, count=1)
    assert [tensor.name for tensor in read_file(path).tensors] == ["t"]


def test_two_whole_models_that_are_named_as_parts_are_no_model(tmp_path: Path) -> None:
    for number in (1, 2):
        gguf_file(tmp_path / f"m-0000{number}-of-00002.gguf")
    with pytest.raises(BadModelError, match="is part 0 of 2 by name, None of 1 by header"):
        read_file(tmp_path / "m-00001-of-00002.gguf")


def test_of_many_missing_parts_three_are_named(tmp_path: Path) -> None:
    first = gguf_file(tmp_path / "m-00001-of-00009.gguf")
    with pytest.raises(BadModelError, match=r"one of 9 parts, .*2-of-00009.*4-of-00009\.gguf are missing"):
        read_file(first)
