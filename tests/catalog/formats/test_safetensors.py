"""Safetensors: exact bytes from headers, numbers from config.json, and what is refused."""

import json
import struct
from pathlib import Path

import pytest

from catalog.formats.byte_source import FileSource
from catalog.formats.safetensors import reader
from catalog.formats.safetensors.reader import read_tensors
from domain.errors import BadModelError
from domain.models.model import ResolvedModel
from tests.catalog.build import safetensors
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "num_attention_heads": 9,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "quantization_config": {"quant_method": "awq", "bits": 4},
    "layers": [{"deep": 1}],
}


def model(folder: Path, *, config: object = CONFIG, shards: int = 2, there: int = 2) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    for number in range(1, there + 1):
        data = safetensors({f"t{number}": ("BF16", (4, 8), 64), f"u{number}": ("F8_E4M3", (3,), 3)})
        (folder / f"model-{number:05d}-of-{shards:05d}.safetensors").write_bytes(data)
    return folder


def test_a_folder_is_a_candidate_for_vllm(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (found,) = resolve(str(folder), catalogue={}, models_dir=tmp_path / "models", offline=True)
    assert found.engine == "vllm"
    assert found.exact
    assert found.weights.quant == "awq"
    assert found.weights.first_path == str(folder)
    assert sum(tensor.size_bytes for tensor in found.shape.tensors) == 2 * 67
    assert found.shape.get("num_attention_heads") == 9
    assert found.shape.get("quantization_config.bits") == 4
    assert found.shape.get("architectures") == ("LlamaForCausalLM",)
    assert found.shape.get("rope_scaling") is None
    assert found.weights.size_bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", shards=3)
    with pytest.raises(BadModelError, match="model-00003-of-00003"):
        resolve(str(folder), catalogue={}, models_dir=tmp_path, offline=True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"abc", "truncated", id="three bytes"),
        pytest.param(
            struct.pack("<Q", 1 << 60) + bytes(100), "header of 1152921504606846976", id="absurd header"
        ),
        pytest.param(struct.pack("<Q", 4) + b"nope", "not JSON", id="not JSON"),
        pytest.param(struct.pack("<Q", 2) + b"[]", "Expected `object`, got `array`", id="a list"),
        pytest.param(struct.pack("<Q", 200_000) + b"[" * 200_000, "invalid entry", id="a deep nest"),
        pytest.param(safetensors({"x": ("BF16", (4,), 8)})[:-1], "truncated or damaged", id="a byte short"),
        pytest.param(safetensors({"x": ("BF16", (5,), 8)}), "truncated or damaged", id="wrong size"),
        pytest.param(
            safetensors({"x": ("BF16", (4,), 8), "y": ("BF16", (4,), 6)}),
            "damaged: 'y'",
            id="the second of two alike",
        ),
        pytest.param(safetensors({"x": ("Q9", (4,), 8)}), "the unknown type 'Q9'", id="unknown dtype"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    source = FileSource(path)
    try:
        with pytest.raises(BadModelError, match=says) as caught:
            read_tensors(source)
    finally:
        source.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [[], {}, {"model_type": 5}])
def test_a_config_without_a_type_is_refused(tmp_path: Path, config: object) -> None:
    folder = model(tmp_path / "m", config=config)
    with pytest.raises(BadModelError, match=r"config\.json"):
        resolve(str(folder), catalogue={}, models_dir=tmp_path, offline=True)


def read_model(
    folder: Path, config: object, *names: str, more: dict[str, object] | None = None
) -> ResolvedModel:
    """A folder in which each safetensors file holds a tensor of its own name, 64 bytes."""
    folder.mkdir()
    files: dict[str, object] = {"config.json": config, **(more or {})}
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value))
    for name in names:
        (folder / name).write_bytes(safetensors({name: ("BF16", (4, 8), 64)}))
    (found,) = resolve(str(folder), catalogue={}, models_dir=folder / "models", offline=True)
    return found


PLAIN = {"model_type": "llama"}


def tensors(found: ResolvedModel) -> set[str]:
    return {tensor.name for tensor in found.shape.tensors}


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        pytest.param(
            ["model.safetensors", "consolidated.safetensors"], {"model.safetensors"}, id="consolidated"
        ),
        pytest.param(
            ["model-00001-of-00001.safetensors", "consolidated-00001-of-00001.safetensors"],
            {"model-00001-of-00001.safetensors"},
            id="consolidated shards",
        ),
        pytest.param(["model.safetensors", "model.fp16.safetensors"], {"model.safetensors"}, id="a variant"),
        pytest.param(["consolidated.safetensors"], {"consolidated.safetensors"}, id="nothing else"),
        pytest.param(
            ["model.safetensors-00001-of-00002.safetensors", "model.safetensors-00002-of-00002.safetensors"],
            {"model.safetensors-00001-of-00002.safetensors", "model.safetensors-00002-of-00002.safetensors"},
            id="a stem with a dot",
        ),
    ],
)
def test_the_same_weights_in_another_file_are_not_counted_twice(
    tmp_path: Path, names: list[str], counted: set[str]
) -> None:
    found = read_model(tmp_path / "m", PLAIN, *names)
    assert tensors(found) == counted
    assert {file.name for file in found.weights.files} == {*counted, "config.json"}


def test_where_names_leave_it_open_the_index_tells_the_files(tmp_path: Path) -> None:
    files = ("model-00001-of-00001.safetensors", "mtp.safetensors", "extra.safetensors")
    index = {"weight_map": {"a": files[0], "b": files[1]}}
    found = read_model(tmp_path / "m", PLAIN, *files, more={"model.safetensors.index.json": index})
    assert tensors(found) == set(files[:2])
    assert "extra.safetensors" not in {file.name for file in found.weights.files}


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"weight_map": {"a": "../x.safetensors"}}, "not a file in its folder"),
        ({"weight_map": {"a": "gone.safetensors"}}, r"missing: gone\.safetensors"),
        ({"weight_map": [1]}, "no weight_map"),
        ([], "not a JSON object"),
    ],
)
def test_an_index_that_misleads_is_refused(tmp_path: Path, index: object, says: str) -> None:
    with pytest.raises(BadModelError, match=says):
        read_model(
            tmp_path / "m",
            PLAIN,
            "a.safetensors",
            "b.safetensors",
            more={"model.safetensors.index.json": index},
        )


def test_a_repository_is_read_by_ranges_tensor_by_tensor(tmp_path: Path, hub: Hub) -> None:
    shards = {
        f"model-{number:05d}-of-00003.safetensors": safetensors(
            {f"t{number}": ("BF16", (1024, 1024), 2 << 20)}
        )
        for number in (1, 2, 3)
    }
    hub.add(
        "o/r",
        {"config.json": json.dumps(PLAIN).encode(), **shards, "original/consolidated.00.pth": b"x" * 9000},
    )
    (found,) = resolve("o/r", catalogue={}, models_dir=tmp_path, engine="vllm")
    assert {(tensor.name, tensor.type, tensor.shape) for tensor in found.shape.tensors} == {
        (f"t{number}", "BF16", (1024, 1024)) for number in (1, 2, 3)
    }
    assert sum(tensor.size_bytes for tensor in found.shape.tensors) == 3 * (2 << 20)
    assert found.weights.size_bytes == sum(map(len, shards.values())) + len(json.dumps(PLAIN))
    assert len(hub.gets("/cdn/")) == 4  # config.json, and each shard's header in one range
    assert hub.sent_bytes < 4 * reader.FIRST_READ_BYTES


def test_a_header_longer_than_the_first_read_is_read_whole(tmp_path: Path, hub: Hub) -> None:
    many = {f"model.layers.{number}.weight": ("BF16", (4, 8), 64) for number in range(2000)}
    hub.add("o/r", {"config.json": json.dumps(PLAIN).encode(), "model.safetensors": safetensors(many)})
    (found,) = resolve("o/r", catalogue={}, models_dir=tmp_path)
    assert len(found.shape.tensors) == 2000


def test_a_tensor_that_two_shards_hold_counts_once(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(PLAIN))
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (folder / name).write_bytes(safetensors({"lm_head.weight": ("BF16", (4, 8), 64)}))
    (found,) = resolve(str(folder), catalogue={}, models_dir=tmp_path, offline=True)
    assert len(found.shape.tensors) == 1
