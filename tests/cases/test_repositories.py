"""Repositories of several kinds of files: which of them is planned, and what is told of the others."""

import pytest

from domain.errors import BadModelError, NodeError, UnknownModelError
from domain.models.kinds import DraftMethod, Kind
from domain.models.model import ResolvedModel
from tests.catalog.build import Raw
from tests.catalog.resolving import resolve
from tests.rigs.publisher import Publisher


def beside(models: tuple[ResolvedModel, ...]) -> dict[str, Kind]:
    return {item.file.name: item.role for item in models[0].weights.beside}


@pytest.mark.parametrize("quant", ["", ":Q4_K_M"])
def test_of_a_model_with_its_draft_and_projector_the_model_is_planned(
    publisher: Publisher, quant: str
) -> None:
    publisher.add("Glim-30B-17GB-Q4_K_M.gguf")
    publisher.add("Glim-30B-Dynamic-Q4_K_XL.gguf")
    publisher.projector("mmproj-Glim-30B-Q4_K_M.gguf")
    publisher.add("dflash-Glim-30B-Q4_K_M.gguf", "dflash", layers=1)
    models = publisher.found(quant)
    assert {item.weights.quant for item in models} == ({"Q4_K_M"} if quant else {"Q4_K_M", "Q4_K_XL"})
    assert {item.weights.kind for item in models} == {Kind.MODEL}
    assert beside(models) == {
        "mmproj-Glim-30B-Q4_K_M.gguf": Kind.PROJECTOR,
        "dflash-Glim-30B-Q4_K_M.gguf": Kind.DRAFT,
    }
    [draft] = [item for item in models[0].weights.beside if item.role is Kind.DRAFT]
    assert draft.draft is DraftMethod.DFLASH


def test_a_draft_is_never_taken_for_a_quant_of_the_model(publisher: Publisher) -> None:
    publisher.add("UD-IQ1_M/Flash-UD-IQ1_M-00001-of-00001.gguf", split__count=1, split__no=0)
    publisher.add("UD-Q2_K_XL/Flash-UD-Q2_K_XL.gguf")
    publisher.add("DFlash/Flash-DFlash2-Q4_K_M.gguf", "dflash", layers=1)
    models = publisher.found()
    assert {item.weights.quant for item in models} == {"UD-IQ1_M", "UD-Q2_K_XL"}
    assert beside(models) == {"DFlash/Flash-DFlash2-Q4_K_M.gguf": Kind.DRAFT}
    with pytest.raises(UnknownModelError, match="there is no quant Q4_K_M") as refused:
        publisher.found(":Q4_K_M")
    assert "DFlash/Flash-DFlash2-Q4_K_M.gguf is a draft model" in refused.value.hint


def test_a_name_that_says_nothing_hides_no_draft(publisher: Publisher) -> None:
    publisher.add("Flash-Q8_0.gguf")
    publisher.add("Speedup-Q4_K_M.gguf", "eagle3", layers=1)
    assert publisher.files_found() == ["Flash-Q8_0.gguf"]
    with pytest.raises(UnknownModelError, match="there is no quant Q4_K_M") as refused:
        publisher.found(":Q4_K_M")
    assert "Speedup-Q4_K_M.gguf is a draft model" in refused.value.hint


def test_an_adapter_beside_a_model_is_told_and_does_not_hide_it(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.adapter("my-lora-F16.gguf")
    models = publisher.found()
    assert [item.weights.quant for item in models] == ["Q4_K_M"]
    assert beside(models) == {"my-lora-F16.gguf": Kind.ADAPTER}


def test_a_repository_of_an_adapter_alone_is_told_as_that(publisher: Publisher) -> None:
    publisher.adapter("my-lora-F16.gguf")
    with pytest.raises(BadModelError, match=r"no model: my-lora-F16\.gguf is a LoRA adapter") as refused:
        publisher.found()
    assert "launch the model that it was made for, or merge both" in refused.value.hint
    assert refused.type is BadModelError, "a worker hands over no other error"
    with pytest.raises(BadModelError, match="is a LoRA adapter"):
        resolve(str(publisher.folder / "my-lora-F16.gguf"), catalogue={}, models_dir=publisher.folder)


def test_heads_of_multi_token_prediction_make_no_draft_of_a_model(publisher: Publisher) -> None:
    publisher.add("Q-27B-Q4_K_M.gguf", "qwen35")
    publisher.add("Q-27B-MTP-Q6_K.gguf", "qwen35", mtp=1)
    assert publisher.files_found(":Q6_K") == ["Q-27B-MTP-Q6_K.gguf"]
    models = publisher.found()
    assert {item.weights.quant for item in models} == {"Q4_K_M", "Q6_K"}
    assert models[0].weights.beside == ()


def test_the_heads_alone_are_a_draft(publisher: Publisher) -> None:
    publisher.add("Q-27B-Q4_K_M.gguf", "qwen35")
    publisher.add("Q-27B-heads-Q4_0.gguf", "qwen35", mtp=1, first=2)
    models = publisher.found()
    assert beside(models) == {"Q-27B-heads-Q4_0.gguf": Kind.DRAFT}
    assert models[0].weights.beside[0].draft is DraftMethod.MTP


def test_a_small_model_that_is_named_a_draft_is_one_beside_a_large_one(publisher: Publisher) -> None:
    publisher.add("M-32B-Q4_K_M.gguf", layers=4)
    publisher.add("M-0.6B-draft-Q4_K_M.gguf", layers=1)
    models = publisher.found(":Q4_K_M")
    assert [item.weights.files[0].name for item in models] == ["M-32B-Q4_K_M.gguf"]
    assert [item.draft for item in models[0].weights.beside] == [DraftMethod.SIMPLE]
    del publisher.files["M-32B-Q4_K_M.gguf"]
    assert publisher.files_found() == ["M-0.6B-draft-Q4_K_M.gguf"]


@pytest.mark.parametrize("quant", ["", ":Q4_K_M"])
def test_the_same_name_in_two_folders_is_asked_about(publisher: Publisher, quant: str) -> None:
    publisher.add("0.5B/ggml-model-Q4_K_M.gguf", layers=2)
    publisher.add("3B/ggml-model-Q4_K_M.gguf", layers=3)
    with pytest.raises(BadModelError, match=r"holds several models: 0\.5B/ggml.*, 3B/ggml"):
        publisher.found(quant)
    page = f"{publisher.hub.url}/o/r/blob/main/3B/ggml-model-Q4_K_M.gguf"
    [chosen] = resolve(page, catalogue={}, models_dir=publisher.folder / "models")
    assert chosen.shape.get("block_count") == 3


def test_of_models_of_which_one_fits_it_is_not_taken_without_a_word(publisher: Publisher) -> None:
    publisher.add("small-Q4_K_M.gguf", layers=2)
    publisher.add("large-Q8_0.gguf", layers=9)
    with pytest.raises(BadModelError, match="several models"):
        publisher.found(most_bytes=len(publisher.files["small-Q4_K_M.gguf"]))
    assert publisher.files_found(":Q8_0") == ["large-Q8_0.gguf"]


def test_an_embedding_model_beside_a_model_is_asked_about(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.add("E-Q8_0.gguf", pooling_type=3)
    with pytest.raises(BadModelError, match="several models"):
        publisher.found()
    [model] = publisher.found(":Q8_0")
    assert model.weights.kind is Kind.EMBEDDING


def test_an_importance_matrix_and_a_control_vector_are_told_beside(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.write("happy.gguf", "controlvector", {"direction.1": (1, 64)})
    statistics = Raw(tensors=1, keys=1).key(b"general.type", 8, (7).to_bytes(8, "little") + b"imatrix")
    publisher.files["stats.gguf"] = (
        statistics.tensor(b"blk.0.ffn_up.weight.in_sum2", (8,), 0, 0).body(32).data
    )
    assert beside(publisher.found()) == {"happy.gguf": Kind.CONTROL_VECTOR, "stats.gguf": Kind.IMATRIX}
    assert beside(publisher.found(":Q4_K_M")).keys() == {"happy.gguf", "stats.gguf"}


def test_a_header_counts_more_than_what_the_name_says(publisher: Publisher) -> None:
    publisher.add("mmproj-that-is-a-model-Q4_K_M.gguf")
    publisher.projector("M-Q8_0.gguf")
    models = publisher.found()
    assert [item.weights.quant for item in models] == ["Q4_K_M"]
    assert beside(models) == {"M-Q8_0.gguf": Kind.PROJECTOR}


@pytest.mark.parametrize(
    ("architecture", "what"),
    [
        ("flux", "a model that generates images"),
        ("wavtokenizer-dec", "a speech model"),
        ("t5encoder", "an encoder"),
    ],
)
def test_what_no_engine_here_serves_is_refused_as_what_it_is(
    publisher: Publisher, architecture: str, what: str
) -> None:
    publisher.add("M-Q4_K_M.gguf", architecture)
    with pytest.raises(BadModelError, match=what) as refused:
        publisher.found()
    assert "answer with text, embeddings or scores" in refused.value.hint


def test_files_that_are_passed_over_are_told_with_the_reason(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.add("old/M-Q4_K_M.gguf")
    publisher.files["M-Q8_0.gguf"] = b"<html>" + bytes(3000)
    publisher.add("M-Q6_K-00002-of-00002.gguf")
    [model] = publisher.found()
    reasons = {item.name: item.why for item in model.weights.passed_over}
    assert reasons.keys() == {"old/M-Q4_K_M.gguf", "M-Q8_0.gguf", "M-Q6_K-00001-of-00002.gguf"}
    assert reasons["old/M-Q4_K_M.gguf"] == "M-Q4_K_M.gguf is the same quant"
    assert reasons["M-Q6_K-00001-of-00002.gguf"] == "it is missing"
    assert "not with 'GGUF'" in reasons["M-Q8_0.gguf"]


def test_a_copy_deeper_down_that_is_another_model_is_asked_about(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf", layers=2)
    publisher.add("distilled/M-Q4_K_M.gguf", layers=1)
    with pytest.raises(BadModelError, match="several models"):
        publisher.found()


def test_of_thousands_of_files_only_some_headers_are_read(publisher: Publisher) -> None:
    publisher.add("M-0-Q4_K_M.gguf", layers=2)
    body = publisher.files["M-0-Q4_K_M.gguf"]
    publisher.files |= {f"M-{number}-Q4_K_M.gguf": body for number in range(1, 400)}
    with pytest.raises(NodeError, match="several models"):
        publisher.found()
    assert len(publisher.hub.gets("/resolve/")) < 100


def test_what_was_read_of_companions_is_read_once(publisher: Publisher) -> None:
    publisher.add("M-Q4_K_M.gguf")
    publisher.projector("mmproj-F16.gguf")
    first = publisher.found()
    publisher.hub.requests.clear()
    assert publisher.found() == first
    assert publisher.hub.gets("/resolve/") == []
    assert beside(publisher.found(offline=True)) == beside(first)
