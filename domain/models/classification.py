"""What a file of weights is for, decided by its header; its name is never asked.

Sources: llama.cpp ``src/llama-arch.cpp``, ``common_speculative_types_from_gguf``, ``tools/mtmd/clip.cpp``,
``src/llama-adapter.cpp``, ``tools/imatrix``; the architectures of images are those of stable-diffusion.cpp
and ComfyUI-GGUF.
"""

import re

from domain.models.kinds import DraftMethod, Kind, Pooling
from domain.models.model import ModelShape

# These have no KV cache: the whole text is computed at once. Source: ``llama_model::create_memory``.
ENCODER_ARCHITECTURES = frozenset(
    {"bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert", "gemma-embedding"}
    | {"jina-bert-v2", "jina-bert-v3"}
)
_DRAFTS = {"eagle3": DraftMethod.EAGLE3, "dflash": DraftMethod.DFLASH, "dspark": DraftMethod.DSPARK}
_ASSISTANT = "-assistant"  # gemma4-assistant: loaded as a draft of multi-token prediction
_SPEECH = frozenset(
    {"wavtokenizer-dec", "qwen3tts", "pockettts", "whisper", "parakeet", "kokoro", "moonshine"}
)
_IMAGE = frozenset(
    {"flux", "flux2", "sd1", "sd2", "sd3", "sdxl", "aura", "hidream", "cosmos", "ltxv", "hyvid", "wan"}
    | {"lumina2", "qwen_image", "z_image", "chroma"}
)
_OF_ARCHITECTURE = {
    "clip": Kind.PROJECTOR,
    "controlvector": Kind.CONTROL_VECTOR,
    "t5encoder": Kind.ENCODER,
}
_IMAGE_TENSORS = ("model.diffusion_model.", "first_stage_model.", "double_blocks.", "joint_blocks.")
_LORA = re.compile(r"\.lora_[ab]$")
_BLOCK = re.compile(r"blk\.(\d+)\.")
MAX_SCORES = 2  # a reranker gives one score, or one for "yes" and one for "no"; more are labels


def kind_of(shape: ModelShape) -> Kind:
    """By what the tensors are where ``general.type`` says otherwise: it is what an engine would load."""
    if kind := _kind_of_tensors(shape) or _kind_of_architecture(shape):
        return kind
    if draft_method_of(shape):
        return Kind.DRAFT
    if shape.architecture in ENCODER_ARCHITECTURES or pooling_of(shape) or _has_classifier(shape):
        return _pooled_kind(shape)
    is_model = shape.get("block_count") is not None or any(_BLOCK.match(name) for name in _names(shape))
    return Kind.MODEL if is_model else Kind.OTHER


def pooling_of(shape: ModelShape) -> Pooling | None:
    """``None`` where the header does not say, or says ``none``."""
    value = shape.get("pooling_type")
    return next((pooling for pooling in Pooling if pooling and pooling == value), None)


def draft_method_of(shape: ModelShape) -> DraftMethod | None:
    """Of a draft by itself; ``None`` for a model, also for one that could draft for a larger one."""
    method = _DRAFTS.get(shape.architecture)
    if method is DraftMethod.DFLASH and "markov_w1.weight" in _names(shape):
        return DraftMethod.DSPARK
    if method is None and (shape.architecture.endswith(_ASSISTANT) or _is_mtp_sidecar(shape)):
        return DraftMethod.MTP
    return method


def mtp_layers_of(shape: ModelShape) -> int:
    """Heads of multi-token prediction that the file has, whatever its header promises."""
    return len({name.split(".")[1] for name in _names(shape) if name.endswith(".nextn.eh_proj.weight")})


def has_kv_cache(shape: ModelShape) -> bool:
    return shape.architecture not in ENCODER_ARCHITECTURES


def has_output_layer(shape: ModelShape) -> bool:
    """Whether tokens are generated from it: the BERTs have no such layer, also none tied to the embedding."""
    return has_kv_cache(shape) or shape.architecture == "gemma-embedding"


def _is_mtp_sidecar(shape: ModelShape) -> bool:
    """The heads alone: no block that every token passes."""
    blocks, heads = shape.get("block_count"), shape.get("nextn_predict_layers")
    if not (isinstance(blocks, int) and isinstance(heads, int) and 0 < heads <= blocks):
        return False
    present = {int(match[1]) for name in _names(shape) if (match := _BLOCK.match(name))}
    return bool(present) and min(present) >= blocks - heads and mtp_layers_of(shape) > 0


def _kind_of_tensors(shape: ModelShape) -> Kind | None:
    names, keys = _names(shape), shape.metadata
    signs = (
        (Kind.ADAPTER, "adapter.type" in keys or (names and all(_LORA.search(name) for name in names))),
        (Kind.IMATRIX, _is(shape, "imatrix") or any(key.startswith("imatrix.") for key in keys)),
        (Kind.CONTROL_VECTOR, names and all(name.startswith("direction.") for name in names)),
        (Kind.IMAGE, any(name.startswith(_IMAGE_TENSORS) for name in names)),
        (Kind.ADAPTER, _is(shape, "adapter") and "token_embd.weight" not in names),
        (Kind.PROJECTOR, _is(shape, "mmproj") and "token_embd.weight" not in names),
    )
    return next((kind for kind, is_sign in signs if is_sign), None)


def _kind_of_architecture(shape: ModelShape) -> Kind | None:
    architecture = shape.architecture.lower()
    if architecture in _SPEECH:
        return Kind.SPEECH
    return Kind.IMAGE if architecture in _IMAGE else _OF_ARCHITECTURE.get(architecture)


def _pooled_kind(shape: ModelShape) -> Kind:
    pooling = pooling_of(shape)
    if _label_count(shape) > MAX_SCORES:
        return Kind.ENCODER
    if pooling is Pooling.RANK or _has_classifier(shape):
        return Kind.RERANKER
    return Kind.ENCODER if pooling is None else Kind.EMBEDDING


def _has_classifier(shape: ModelShape) -> bool:
    return "cls.output.weight" in _names(shape)


def _label_count(shape: ModelShape) -> int:
    head = next((tensor for tensor in shape.tensors if tensor.name == "cls.output.weight"), None)
    return head.shape[1] if head is not None and len(head.shape) > 1 else 1


def _is(shape: ModelShape, general_type: str) -> bool:
    return shape.metadata.get("general.type") == general_type


def _names(shape: ModelShape) -> set[str]:
    return {tensor.name for tensor in shape.tensors}
