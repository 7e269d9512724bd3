"""What config.json says of safetensors: how they are quantized, and what they are for."""

import json
from pathlib import Path

import pytest

from catalog.formats.safetensors.kinds import kind_of
from domain.models.kinds import Kind
from domain.models.model import ModelShape
from tests.catalog.build import safetensors
from tests.catalog.formats.test_safetensors import PLAIN, read_model
from tests.catalog.resolving import resolve
from tests.conftest import ROOT


def compressed(**weights: object) -> dict[str, object]:
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


@pytest.mark.parametrize(
    ("quantization", "kind", "capability"),
    [
        (None, "BF16", None),
        ({"quant_method": "awq", "bits": 4}, "awq", 7.5),
        ({"quant_method": "gptq", "bits": 4}, "gptq", 6.0),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 7.5),
        ({"quant_method": "mxfp4"}, "mxfp4", 8.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 7.5),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8", 7.5),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, "nvfp4", 7.5),
        (compressed(num_bits=8, type="float"), "fp8", 7.5),
        (compressed(num_bits=4, type="int"), "int4", 7.5),
        (compressed(num_bits=8, type="int"), "int8", 7.5),
        (compressed(), "compressed-tensors", None),
        ({"quant_method": "quark"}, "quark", None),
        ({"bits": 4}, "BF16", None),
        ({"bits": 4, "group_size": 64}, "mlx", None),
        ({"quant_method": "exl3", "bits": 4.0}, "exl3", None),
    ],
)
def test_how_weights_are_stored_is_read_from_config(
    tmp_path: Path, quantization: object, kind: str, capability: float | None
) -> None:
    config = {**PLAIN, "quantization_config": quantization} if quantization else PLAIN
    found = read_model(tmp_path / "m", config, "model.safetensors")
    assert (found.weights.quant, found.compute_capability) == (kind, capability)


@pytest.mark.parametrize(
    ("architecture", "head", "kind"),
    [
        ("Qwen3MoeForCausalLM", None, Kind.MODEL),
        ("Gemma3ForConditionalGeneration", None, Kind.MODEL),
        ("XLMRobertaForSequenceClassification", ("classifier.out_proj.weight", 1), Kind.RERANKER),
        ("Qwen3ForSequenceClassification", ("score.weight", 2), Kind.RERANKER),
        ("BertForSequenceClassification", ("classifier.weight", 5), Kind.ENCODER),
        ("ModernBertForTokenClassification", None, Kind.ENCODER),
        ("XLMRobertaModel", None, Kind.EMBEDDING),
        ("BertForMaskedLM", None, Kind.ENCODER),
        ("WhisperForConditionalGeneration", None, Kind.SPEECH),
    ],
)
def test_what_weights_are_for_is_read_from_their_architecture(
    tmp_path: Path, architecture: str, head: tuple[str, int] | None, kind: Kind
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**PLAIN, "architectures": [architecture]}))
    name, labels = head or ("w", 1)
    (folder / "model.safetensors").write_bytes(safetensors({name: ("BF16", (labels, 8), 16 * labels)}))
    (found,) = resolve(str(folder), catalogue={}, models_dir=tmp_path, offline=True)
    assert found.weights.kind is kind


MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


@pytest.mark.parametrize(
    ("modules", "config", "pooling"),
    [
        pytest.param(MODULES, {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "last"),
        pytest.param(MODULES, {"pooling_mode_cls_token": True}, "cls"),
        pytest.param(MODULES, {"pooling_mode": "mean"}, "mean"),
        pytest.param(MODULES, {"include_prompt": True}, "mean", id="unsaid"),
        pytest.param(MODULES[:1], {"pooling_mode": "mean"}, None, id="no pooling"),
        pytest.param({"not": "a list"}, {}, None, id="damaged"),
        pytest.param([1, None, {"type": 5}], {}, None, id="odd"),
    ],
)
def test_a_model_that_sentence_transformers_pool_is_an_embedding_model(
    tmp_path: Path, modules: object, config: object, pooling: str | None
) -> None:
    """As Qwen3-Embedding, whose config.json names a model that generates text."""
    folder = tmp_path / "m"
    (folder / "1_Pooling").mkdir(parents=True)
    plain = {**PLAIN, "architectures": ["Qwen3ForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(plain))
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling/config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512}))
    (folder / "model.safetensors").write_bytes(safetensors({"w": ("BF16", (1, 8), 16)}))
    (found,) = resolve(str(folder), catalogue={}, models_dir=tmp_path, offline=True)
    assert found.weights.kind is (Kind.MODEL if pooling is None else Kind.EMBEDDING)
    assert found.shape.metadata.get("general.pooling") == pooling
    assert found.shape.metadata.get("general.max_text_tokens") == (None if pooling is None else 512)
    assert "1_Pooling/config.json" in {file.name for file in found.weights.files}


@pytest.mark.parametrize(
    ("architecture", "repo", "kind"),
    [
        ("Qwen3ForCausalLM", "Qwen/Qwen3-Reranker-4B", Kind.RERANKER),
        ("Qwen3ForCausalLM", "Qwen/Qwen3-4B", Kind.MODEL),
        ("Qwen2ForCausalLM", "mixedbread-ai/mxbai-rerank-base-v2", Kind.RERANKER),
        ("GemmaForCausalLM", "BAAI/bge-reranker-v2-gemma", Kind.RERANKER),
        ("LlamaForCausalLM", "someone/reranker-llama", Kind.MODEL),
        ("Qwen3ForCausalLM", "someone/prerank-model", Kind.MODEL),
        ("Qwen3ForCausalLM", "/models/rerankers/Qwen3-4B", Kind.MODEL),
    ],
)
def test_a_reranker_that_was_trained_to_answer_is_known_by_its_name(
    architecture: str, repo: str, kind: Kind
) -> None:
    assert kind_of(ModelShape("m", (), 0, {"m.architectures": (architecture,)}), repo) is kind


def test_all_architectures_of_vllm_are_told_apart() -> None:
    """Those it generates text with from those it pools."""
    listed = json.loads((ROOT / "tests/captures/vllm/architectures.json").read_text())
    kinds = {
        group: {name: kind_of(ModelShape("m", (), 0, {"m.architectures": (name,)})) for name in listed[group]}
        for group in ("generate", "pool")
    }
    speech = {name for name, kind in kinds["generate"].items() if kind is not Kind.MODEL}
    assert speech == {"WhisperForConditionalGeneration"}
    assert {name for name, kind in kinds["pool"].items() if kind is Kind.MODEL} == set()


def test_a_tower_of_its_own_may_say_how_it_is_stored(tmp_path: Path) -> None:
    config = {**PLAIN, "text_config": {"quantization_config": {"quant_method": "fp8"}}}
    assert read_model(tmp_path / "m", config, "model.safetensors").weights.quant == "fp8"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("hf_quant_config.json", {"producer": {}, "quantization": {"quant_algo": "NVFP4"}}, "nvfp4"),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, "gptq"),
        ("quant_config.json", {"w_bit": 4}, "awq"),
    ],
)
def test_how_weights_are_stored_may_stand_in_a_file_of_its_own(
    tmp_path: Path, name: str, content: object, kind: str
) -> None:
    found = read_model(tmp_path / "m", PLAIN, "model.safetensors", more={name: content})
    assert found.weights.quant == kind
