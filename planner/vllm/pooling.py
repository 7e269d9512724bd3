"""Embedding and reranking models on vLLM: the runner, what each architecture needs, and who keeps a KV cache.

Source: vLLM 0.32.0: ``config/model.py`` (attn_type, is_chunked_prefill_supported), ``models/registry.py``,
``models/config.py``, and the scoring pages of docs.vllm.ai for rerankers that were trained to answer a word.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from domain.launches.plan import VllmFlags
from domain.models.kinds import Kind
from domain.models.model import ModelShape, ResolvedModel
from planner.vllm.memory.devices import BATCH, POOLING_RUNNER
from planner.vllm.model_config import POOLING_KEY, is_bidirectional

MEAN = "mean"
# Classes of a config.json that are code of the repository, which is not run here.
_OWN_CODE = ("NewConfig", "XLMRobertaFlashConfig")

# The prompt that these were trained with, as on their cards; on one line, since it is a word of a command.
QWEN3_TEMPLATE = (
    r'{% set n = "\n" %}<|im_start|>system{{ n }}Judge whether the Document meets the requirements based on '
    r'the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>{{ n }}'
    r"<|im_start|>user{{ n }}<Instruct>: Given a web search query, retrieve relevant passages that answer "
    r"the query{{ n }}<Query>: {{ messages[0].content }}{{ n }}<Document>: {{ messages[1].content }}"
    r"<|im_end|>{{ n }}<|im_start|>assistant{{ n }}<think>{{ n }}{{ n }}</think>{{ n }}{{ n }}"
)
# By architecture: what of config.json is replaced, and the prompt.
_ANSWERS: Mapping[str, tuple[Mapping[str, object], str | None]] = {
    "Qwen3ForCausalLM": (
        {
            "architectures": ["Qwen3ForSequenceClassification"],
            "classifier_from_token": ["no", "yes"],
            "is_original_qwen3_reranker": True,
        },
        QWEN3_TEMPLATE,
    ),
    "Qwen2ForCausalLM": (
        {
            "architectures": ["Qwen2ForSequenceClassification"],
            "classifier_from_token": ["0", "1"],
            "method": "from_2_way_softmax",
        },
        None,
    ),
    "GemmaForCausalLM": (
        {
            "architectures": ["GemmaForSequenceClassification"],
            "classifier_from_token": ["Yes"],
            "method": "no_post_processing",
        },
        None,
    ),
}


def why_not_run(model: ResolvedModel) -> str:
    """Why vLLM would have to run code of the repository; empty if it need not."""
    if not model.weights.kind.is_pooled:
        return ""
    own = str(model.shape.get("auto_map.AutoConfig") or "")
    if own.endswith(_OWN_CODE):
        return f"vLLM reads its config.json with code of the repository ({own}), which is not run here"
    return ""


def pooled_flags(flags: VllmFlags, model: ResolvedModel, context_tokens: int) -> VllmFlags:
    """``flags`` for the kind of ``model``; unchanged for one that generates text."""
    if not model.weights.kind.is_pooled:
        return flags
    flags = replace(
        flags, runner=POOLING_RUNNER, tool_call_parser=None, auto_tool_choice=False, reasoning_parser=None
    )
    if not _can_split(model.shape):  # a text is one batch, or refused
        flags = replace(flags, max_num_batched_tokens=max(BATCH, context_tokens))
    architectures = model.shape.get("architectures")
    name = str(architectures[0]) if isinstance(architectures, tuple) and architectures else ""
    if model.weights.kind is not Kind.RERANKER or name not in _ANSWERS:
        return flags
    overrides, template = _ANSWERS[name]
    return replace(flags, hf_overrides=json.dumps(overrides, separators=(",", ":")), chat_template=template)


def _can_split(shape: ModelShape) -> bool:
    return not is_bidirectional(shape) and shape.metadata.get(POOLING_KEY) != MEAN
