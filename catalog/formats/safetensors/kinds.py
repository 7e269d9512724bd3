"""What safetensors are for, by the architecture that config.json names.

Source: vLLM 0.32.0, ``config/model.py`` (_SUFFIX_TO_DEFAULTS) and ``models/registry.py``: a test compares all
architectures of the latter.
"""

import re

from catalog.formats.safetensors.sentence_transformers import POOLING_KEY
from domain.models.classification import MAX_SCORES
from domain.models.kinds import Kind
from domain.models.model import ModelShape

# The first that ends an architecture's name counts.
_KINDS: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("WhisperForConditionalGeneration", "ForCTC", "ForSpeechSeq2Seq", "ForRNNT"), Kind.SPEECH),
    (("LMModel", "LMHeadModel", "ChatModel", "ForCausalLM", "ForConditionalGeneration"), Kind.MODEL),
    (("UltravoxModel", "MossAudioModel", "OmniModel"), Kind.MODEL),
    (("ForSequenceClassification", "ForRanking"), Kind.RERANKER),
    (("Classification", "ForMaskedLM", "ForQuestionAnswering", "ForPreTraining"), Kind.ENCODER),
    (("RewardModel", "ForJointSchema", "Terratorch"), Kind.ENCODER),
    (("Model", "ForRetrieval", "ForTextEncoding", "ColBERT", "ColQwen3", "ColQwen3_5"), Kind.EMBEDDING),
)
# Rerankers that are published as they were trained, to answer "yes" or "no": nothing in their files says so.
_TRAINED_TO_ANSWER = ("Qwen3ForCausalLM", "Qwen2ForCausalLM", "GemmaForCausalLM")
_RERANKER_NAME = re.compile(r"\bre-?rank", re.IGNORECASE)
_HEADS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")


def kind_of(shape: ModelShape, repo: str = "") -> Kind:
    """A model where config.json says nothing. ``repo``: its name tells a reranker from the model that it was
    trained from."""
    architectures = shape.get("architectures")
    name = str(architectures[0]) if isinstance(architectures, tuple) and architectures else ""
    kind = next((kind for endings, kind in _KINDS if name.endswith(endings)), Kind.MODEL)
    if kind is Kind.MODEL and name in _TRAINED_TO_ANSWER and _RERANKER_NAME.search(repo.rpartition("/")[2]):
        return Kind.RERANKER
    if kind in (Kind.MODEL, Kind.ENCODER) and POOLING_KEY in shape.metadata:
        return Kind.EMBEDDING
    return Kind.ENCODER if kind is Kind.RERANKER and _label_count(shape) > MAX_SCORES else kind


def _label_count(shape: ModelShape) -> int:
    heads = (tensor for tensor in shape.tensors if tensor.name.endswith(_HEADS) and len(tensor.shape) == 2)
    return max((tensor.shape[0] for tensor in heads), default=1)
