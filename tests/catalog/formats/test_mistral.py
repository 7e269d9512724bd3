"""Mistral's own format: params.json and consolidated files, without a config.json or beside one."""

import json
from pathlib import Path

import pytest

from domain.errors import BadModelError, NodeError
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from tests.catalog.build import safetensors
from tests.catalog.resolving import resolve
from tests.rigs.hub import Hub

# Of mistralai/Mistral-7B-v0.3, but for the sizes.
PARAMS: dict[str, object] = {
    "dim": 64,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 128,
    "n_heads": 4,
    "n_kv_heads": 2,
    "norm_eps": 1e-05,
    "vocab_size": 256,
    "rope_theta": 1000000.0,
}
TENSORS = safetensors(
    {
        "tok_embeddings.weight": ("BF16", (256, 64), 32768),
        "layers.0.attention.wk.weight": ("BF16", (32, 64), 4096),
        "output.weight": ("BF16", (256, 64), 32768),
    }
)


def files(params: object, **more: object) -> dict[str, bytes]:
    texts = {"params.json": params, "tekken.json": {}, **more}
    return {
        "consolidated.safetensors": TENSORS,
        **{name: json.dumps(value).encode() for name, value in texts.items()},
    }


def read(folder: Path, content: dict[str, bytes]) -> ResolvedModel:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    (found,) = resolve(str(folder), catalogue={}, models_dir=folder / "models", offline=True)
    return found


def test_a_repository_without_config_json_is_planned_from_params_json(tmp_path: Path, hub: Hub) -> None:
    hub.add("o/r", files(PARAMS))
    (found,) = resolve("o/r", catalogue={}, models_dir=tmp_path, engine="vllm")
    shape = found.shape
    assert {file.name for file in found.weights.files} == {
        "consolidated.safetensors",
        "params.json",
        "tekken.json",
    }
    assert shape.metadata["general.config_format"] == "mistral"
    expected = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 128_000,
        "architectures": ("MistralForCausalLM",),
    }
    assert {key: shape.get(key) for key in expected} == expected
    assert len(shape.tensors) == 3
    assert found.weights.quant == "BF16"


def test_config_json_describes_the_files_that_are_in_its_format(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 32}
    both = {**files(PARAMS, **{"config.json": config}), "model.safetensors": TENSORS}
    found = read(tmp_path / "both", both)
    assert (found.shape.get("hidden_size"), "general.config_format" in found.shape.metadata) == (32, False)
    only_consolidated = read(tmp_path / "own", files(PARAMS, **{"config.json": config}))
    assert only_consolidated.shape.get("hidden_size") == 64


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param(
            {"sliding_window": [None, 512]},
            {"layer_types": ("full_attention", "sliding_attention"), "sliding_window": 512},
            id="windows",
        ),
        pytest.param(
            {"moe": {"num_experts": 8, "num_experts_per_tok": 2}},
            {
                "num_local_experts": 8,
                "num_experts_per_tok": 2,
                "architectures": ("MixtralForCausalLM",),
            },
            id="experts",
        ),
        pytest.param(
            {"moe": {"num_experts": 128, "expert_hidden_dim": 96, "num_shared_experts": 1}},
            {"moe_intermediate_size": 96, "architectures": ("MistralLarge3ForCausalLM",)},
            id="shared experts",
        ),
        pytest.param(
            {"quantization": {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}},
            {"quantization_config.quant_method": "fp8"},
            id="FP8",
        ),
        pytest.param(
            {"vision_encoder": {"hidden_size": 32}},
            {"architectures": ("PixtralForConditionalGeneration",)},
            id="images",
        ),
        pytest.param(
            {"multimodal": {"whisper_model_args": {"encoder_args": {"dim": 32}}}},
            {"architectures": ("VoxtralForConditionalGeneration",)},
            id="sound",
        ),
        pytest.param({"max_position_embeddings": 4096}, {"max_position_embeddings": 4096}, id="a context"),
    ],
)
def test_params_json_says_the_same_in_other_words(
    tmp_path: Path, more: dict[str, object], expected: dict[str, object]
) -> None:
    found = read(tmp_path / "m", files({**PARAMS, **more}))
    assert {key: found.shape.get(key) for key in expected} == expected
    assert found.weights.kind is Kind.MODEL


@pytest.mark.parametrize(
    ("params", "says"),
    [
        pytest.param(
            {"dim": 64, "n_layers": 2}, "params.json has no n_heads and no vocab_size", id="few keys"
        ),
        pytest.param(
            {**PARAMS, "n_layers": "many"}, "params.json: .*num_hidden_layers is 'many'", id="no number"
        ),
        pytest.param({**PARAMS, "n_layers": 10**9, "sliding_window": [1]}, "num_hidden_layers is", id="many"),
        pytest.param([1], "params.json is not a JSON object", id="a list"),
    ],
)
def test_params_that_say_no_shape_are_refused(tmp_path: Path, params: object, says: str) -> None:
    with pytest.raises(BadModelError, match=says):
        read(tmp_path / "m", files(params))


def test_consolidated_files_that_nothing_describes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="holds no model") as error:
        read(tmp_path / "m", {"consolidated.safetensors": TENSORS})
    assert "params.json" in error.value.hint
