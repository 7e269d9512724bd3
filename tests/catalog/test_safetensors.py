"""Safetensors: exact bytes from headers, numbers from config.json, and what is refused."""

import json
import struct
from pathlib import Path

import pytest

from catalog.resolve import candidates
from catalog.safetensors import read_tensors
from catalog.source import FileSource
from domain.errors import BadModelError
from tests.catalog.build import safetensors

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
    (found,) = candidates(str(folder), catalogue={}, models_dir=tmp_path / "models", offline=True)
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
        candidates(str(folder), catalogue={}, models_dir=tmp_path, offline=True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"abc", "truncated", id="three bytes"),
        pytest.param(
            struct.pack("<Q", 1 << 60) + bytes(100), "header of 1152921504606846976", id="absurd header"
        ),
        pytest.param(struct.pack("<Q", 4) + b"nope", "no JSON", id="no JSON"),
        pytest.param(struct.pack("<Q", 2) + b"[]", "no JSON object", id="a list"),
        pytest.param(struct.pack("<Q", 200_000) + b"[" * 200_000, "no JSON", id="a deep nest"),
        pytest.param(safetensors({"x": ("BF16", (4,), 8)})[:-1], "truncated or damaged", id="a byte short"),
        pytest.param(safetensors({"x": ("BF16", (5,), 8)}), "truncated or damaged", id="wrong size"),
        pytest.param(safetensors({"x": ("Q9", (4,), 8)}), "cannot be used", id="unknown dtype"),
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
        candidates(str(folder), catalogue={}, models_dir=tmp_path, offline=True)
