"""Embedding and reranking models on vLLM: the runner, no KV cache where none is kept, a text in one batch."""

import json
from dataclasses import replace

import pytest

from domain.errors import UsageError
from domain.launches.plan import VLLM, LaunchOptions, VllmFlags
from domain.models.kinds import Kind
from domain.models.model import ResolvedModel
from domain.units import MIB
from launchers.vllm.argv import arguments
from launchers.vllm.capabilities import assume
from launchers.vllm.parsing import parse
from planner.choose.choose import plan
from planner.vllm.estimate import estimate
from tests.planner import build
from tests.planner.build import SMOL, folder
from tests.planner.vllm.test_vllm import card, planned


def pooled(kind: Kind, model_type: str, architecture: str, **metadata: object) -> ResolvedModel:
    """``metadata``: of config.json; with ``general__`` of files beside it."""
    model = folder({**SMOL, "architectures": (architecture,)}, 1200 * MIB)
    facts = {key.replace("llama.", f"{model_type}."): value for key, value in model.shape.metadata.items()}
    more = {
        key.replace("__", ".") if "general__" in key else f"{model_type}.{key.replace('__', '.')}": value
        for key, value in metadata.items()
    }
    shape = replace(model.shape, architecture=model_type, metadata={**facts, **more})
    return replace(model, shape=shape, weights=replace(model.weights, kind=kind))


QWEN3_EMBEDDING = pooled(Kind.EMBEDDING, "qwen3", "Qwen3ForCausalLM", general__pooling="last")
QWEN3_RERANKER = pooled(Kind.RERANKER, "qwen3", "Qwen3ForCausalLM")
BGE_M3 = pooled(
    Kind.EMBEDDING, "xlm-roberta", "XLMRobertaModel", general__pooling="cls", general__max_text_tokens=8192
)
E5 = pooled(Kind.EMBEDDING, "xlm-roberta", "XLMRobertaModel", max_position_embeddings=514)
GTE_QWEN2 = pooled(Kind.EMBEDDING, "qwen2", "Qwen2ForCausalLM", general__pooling="mean")
BGE_RERANKER = pooled(Kind.RERANKER, "xlm-roberta", "XLMRobertaForSequenceClassification")
EMBEDDING_GEMMA = pooled(
    Kind.EMBEDDING,
    "gemma3_text",
    "Gemma3TextModel",
    general__pooling="mean",
    use_bidirectional_attention=True,
)


@pytest.mark.parametrize("machine", [build.SMALL_CPU, build.hardware(card())], ids=["CPU", "GPU"])
@pytest.mark.parametrize(
    ("model", "context", "keeps_cache", "batch"),
    [
        pytest.param(QWEN3_EMBEDDING, 8192, True, None, id="Qwen3-Embedding"),
        pytest.param(QWEN3_RERANKER, 8192, True, None, id="Qwen3-Reranker"),
        pytest.param(BGE_M3, 8192, False, 8192, id="bge-m3"),
        pytest.param(E5, 512, False, 2048, id="e5"),
        pytest.param(GTE_QWEN2, 8192, True, 8192, id="gte-Qwen2"),
        pytest.param(BGE_RERANKER, 8190, False, 8190, id="bge-reranker"),
        pytest.param(EMBEDDING_GEMMA, 8192, False, 8192, id="embeddinggemma"),
    ],
)
def test_each_is_planned_as_what_it_is(
    model: ResolvedModel, context: int, keeps_cache: bool, batch: int | None, machine: object
) -> None:
    chosen, flags = planned(model, machine)  # type: ignore[arg-type]
    assert (flags.runner, chosen.context_tokens) == ("pooling", context)
    assert bool(flags.kv_cache_memory_bytes) is keeps_cache
    assert flags.max_num_batched_tokens == batch
    assert chosen.speed.decode_tokens_per_s is None
    again = estimate(model.shape, flags, machine, quant="BF16")  # type: ignore[arg-type]
    assert (again.memory, again.fits) == (chosen.memory, True)
    assert parse(arguments(flags, assume())) == flags


def test_a_model_that_was_trained_to_answer_yes_is_asked_for_the_odds_of_it() -> None:
    flags = planned(QWEN3_RERANKER, build.SMALL_CPU)[1]
    assert flags.hf_overrides is not None
    overrides = json.loads(flags.hf_overrides)
    assert overrides["architectures"] == ["Qwen3ForSequenceClassification"]
    assert overrides["classifier_from_token"] == ["no", "yes"]
    assert flags.chat_template is not None
    assert "\n" not in flags.chat_template
    converted = pooled(Kind.RERANKER, "qwen3", "Qwen3ForSequenceClassification")
    own = planned(converted, build.SMALL_CPU)[1]
    assert (own.hf_overrides, own.chat_template, own.runner) == (None, None, "pooling")


@pytest.mark.parametrize("machine", [build.SMALL_CPU, build.hardware(card())], ids=["CPU", "GPU"])
def test_an_encoder_takes_no_cache_however_it_is_started(machine: object) -> None:
    flags = VllmFlags(runner="pooling", max_model_len=512)
    assert estimate(E5.shape, flags, machine).memory[0].kv_cache_bytes == 0  # type: ignore[arg-type]


def test_no_logits_are_counted() -> None:
    vocabulary = {"vocab_size": 250_000}
    texts = pooled(Kind.EMBEDDING, "qwen3", "Qwen3Model", **vocabulary)
    chat = pooled(Kind.MODEL, "qwen3", "Qwen3ForCausalLM", **vocabulary)
    machine = build.hardware(card())
    held = [
        planned(model, machine, LaunchOptions(context_tokens=4096))[0].memory[0] for model in (texts, chat)
    ]
    assert held[0].compute_bytes < held[1].compute_bytes


def test_code_of_the_repository_is_not_run() -> None:
    gte = pooled(
        Kind.EMBEDDING,
        "new",
        "NewModel",
        auto_map__AutoConfig="Alibaba-NLP/new-impl--configuration.NewConfig",
    )
    with pytest.raises(UsageError, match="code of the repository"):
        plan("m", (gte,), build.SMALL_CPU, LaunchOptions(engine=VLLM))


def test_a_model_that_generates_is_planned_as_before() -> None:
    flags = planned(folder(SMOL, 269 * MIB), build.SMALL_CPU)[1]
    assert (flags.runner, flags.hf_overrides, flags.chat_template) == (None, None, None)
    assert isinstance(flags, VllmFlags)
