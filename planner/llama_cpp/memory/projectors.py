"""Multimodal projectors: the device that holds one, and what it takes there.

Source: llama.cpp ``tools/mtmd/clip.cpp``: the graph of one image is reserved at the start.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isqrt

from domain.launches.plan import LlamaFlags
from domain.machine.hardware import Hardware
from domain.models.model import ModelShape
from planner.llama_cpp.context_params import pad_up
from planner.llama_cpp.graph import projector as graphs
from planner.llama_cpp.graph.builder import UnsupportedGraphError
from planner.llama_cpp.graph.schedule import Scheduler
from planner.llama_cpp.memory.components import ComponentMemory
from planner.llama_cpp.placement import HOST_ID
from planner.machine.devices import Device, llama_cpp_build, select_devices, visible_devices

F32 = 4
HOST_ALIGNMENT_BYTES = 32
TENSOR_ALIGNMENT_BYTES = 128  # the largest of all back ends
# Build 10068 puts a projector on the first GPU whatever ``-dev`` says; 11434 follows ``-dev`` and ``-mmdev``.
LAST_BUILD_IGNORING_DEVICE = 10068
# Image sides, in tokens, for which the engine reserves the graph of a projector that takes any size: by type,
# and the largest for all others. Source: ``set_warmup_n_tokens``, ``set_limit_image_tokens`` of b11434.
WARMUP_TOKENS = 46
WARMUP_TOKENS_BY_TYPE = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v", "glm5v"), 46),
    **dict.fromkeys(("dots_ocr", "ling3vl", "mimovl", "exaone4_5"), 46),
    **dict.fromkeys(("pixtral", "lightonocr", "kimivl", "gemma4v", "gemma4uv", "phi4", "youtuvl"), 16),
    **dict.fromkeys(("minimax_m3", "lfm2"), 16),
    **dict.fromkeys(("hunyuanvl", "muse-glimmer"), 32),
    "paddleocr": 28,
}
# Types that take images of one size only.
FIXED_SIZE = frozenset(
    {"mlp", "mlp_norm", "ldp", "ldpv2", "cogvlm", "adapter", "resampler", "internvl", "idefics3"}
    | {"gemma3", "gemma3nv", "llama4", "step3vl", "nemotron_v2_vl"}
)
# Patches per side of a token, where the header does not say. Source: ``load_hparams``.
MERGE_BY_TYPE = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v"), 2),
    **dict.fromkeys(("pixtral", "lightonocr", "kimivl", "lfm2", "internvl", "idefics3", "llama4"), 1),
    "gemma3": 4,
    "gemma4v": 3,
}
MAX_MERGE = 4
# An older name of a model with vision and audio.
TYPE_ALIASES = {"qwen2.5o": "qwen2.5vl_merger"}
WINDOW_KEYS = ("n_wa_pattern", "window_size", "wa_layer_indexes", "wa_pattern_mode")
CHANNELS = 3
POSITION_VALUES = 4  # of each token, at most
AUDIO_FRAMES = 3000  # of a 30 s window, before they are halved
NOTE = "the projector's compute is an upper bound, for images of the size that the engine reserves for"


@dataclass(frozen=True, slots=True)
class Image:
    """The image that the engine reserves for: ``side`` in pixels, ``merge`` x ``merge`` patches per token."""

    projector_type: str
    side: int
    merge: int
    flash_attention: bool


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph to build, compared by what decides its size."""

    image: Image
    alignments: tuple[int, ...]
    file_bytes: int
    tensors: int
    shape: ModelShape = field(compare=False)


def projector_memory(shape: ModelShape, flags: LlamaFlags, hardware: Hardware) -> ComponentMemory:
    gpus = projector_gpu(flags, hardware)
    device = 0 if gpus else HOST_ID
    weight_bytes = sum(pad_up(tensor.size_bytes, TENSOR_ALIGNMENT_BYTES) for tensor in shape.tensors)
    compute: Counter[int] = Counter({device: 0})
    is_upper_bound = False
    for encoder in ("vision", "audio"):
        if not _count(shape, f"{encoder}.embedding_length", 0):
            continue
        exact_bytes = _exact_compute(shape, flags, gpus) if encoder == "vision" else None
        compute.update(_compute_bound(shape, encoder, flags, device) if exact_bytes is None else exact_bytes)
        is_upper_bound |= exact_bytes is None
    notes = (NOTE,) if is_upper_bound else ()
    return ComponentMemory(gpus, {device: weight_bytes}, {}, dict(compute), notes=notes)


def projector_gpu(flags: LlamaFlags, hardware: Hardware) -> tuple[Device, ...]:
    """The GPU that holds the projector; empty if the host does."""
    if not flags.mmproj_offload or flags.mmproj_device == "none":
        return ()
    visible = visible_devices(hardware, LlamaFlags())
    build = llama_cpp_build(hardware)
    if flags.mmproj_device:
        visible = select_devices(visible, (flags.mmproj_device,))
    elif build is None or build > LAST_BUILD_IGNORING_DEVICE:
        visible = visible_devices(hardware, replace(flags, split_mode=None))
    return visible[:1]


def reserved_image(shape: ModelShape, flags: LlamaFlags) -> Image:
    projector_type = _projector_type(shape, "vision")
    patch = _count(shape, "vision.patch_size", 14)
    merge = _count(shape, "vision.spatial_merge_size", 0)
    merge = merge or _count(shape, "vision.projector.scale_factor", 0)
    merge = merge or MERGE_BY_TYPE.get(projector_type, MAX_MERGE)
    side = _count(shape, "vision.image_size", 0)
    if projector_type not in FIXED_SIZE:
        tokens = WARMUP_TOKENS_BY_TYPE.get(projector_type, WARMUP_TOKENS)
        if flags.image_max_tokens and flags.image_max_tokens < tokens * tokens:
            tokens = max(1, isqrt(flags.image_max_tokens))
        warmup_side = tokens * patch * merge
        side = warmup_side if projector_type in WARMUP_TOKENS_BY_TYPE else max(side, warmup_side)
    return Image(projector_type, side, merge, flash_attention=flags.flash_attention != "off")


def _exact_compute(
    shape: ModelShape, flags: LlamaFlags, gpus: tuple[Device, ...]
) -> Mapping[int, int] | None:
    """Bytes by device number, from the engine's own graph; ``None`` if that is not known."""
    alignments = (*(device.backend.alignment_bytes for device in gpus), HOST_ALIGNMENT_BYTES)
    image = reserved_image(shape, flags)
    sizes = _buffer_sizes(GraphSpec(image, alignments, shape.file_bytes, len(shape.tensors), shape))
    return None if sizes is None else {HOST_ID: sizes[-1], **dict(enumerate(sizes[:-1]))}


@lru_cache(maxsize=64)
def _buffer_sizes(spec: GraphSpec) -> tuple[int, ...] | None:
    image = spec.image
    try:
        graph = graphs.build(
            spec.shape, image.projector_type, image.side, image.merge, flash_attention=image.flash_attention
        )
    except UnsupportedGraphError:
        return None
    takes_host_weights = [False] * len(spec.alignments)
    return tuple(Scheduler(list(spec.alignments), takes_host_weights).buffer_sizes(graph))


def _compute_bound(shape: ModelShape, encoder: str, flags: LlamaFlags, device: int) -> Mapping[int, int]:
    """The most that one encoder's graph can hold at once.

    That is, of every token, the residual, its norm, its position and a copy of it; the wider of attention
    (three matrices and their copies) and feed-forward (three matrices if it is gated); the input with its
    patches; the scores of all heads without flash attention; and a mask with its copies if blocks attend
    within windows. On the host, if a GPU holds the projector: what is transferred. A test compares it with
    all recorded projectors."""
    width = _count(shape, f"{encoder}.embedding_length", 0)
    ffn_length = _count(shape, f"{encoder}.feed_forward_length", 4 * width)
    tokens, input_values = _audio_size(shape) if encoder == "audio" else _image_size(shape, flags)
    is_gated = any("ffn_gate" in tensor.name for tensor in shape.tensors)
    activations = tokens * (4 * width + max(6 * width, ffn_length * (1 + 2 * is_gated))) + 2 * input_values
    mask_values = tokens * tokens * any(shape.get(f"{encoder}.{key}") is not None for key in WINDOW_KEYS)
    if flags.flash_attention == "off":
        activations += _count(shape, f"{encoder}.attention.head_count", 1) * tokens * tokens
    transferred_values = input_values + POSITION_VALUES * tokens + mask_values if device != HOST_ID else 0
    return Counter({device: F32 * (activations + 2 * mask_values)}) + Counter(
        {HOST_ID: F32 * transferred_values}
    )


def _image_size(shape: ModelShape, flags: LlamaFlags) -> tuple[int, int]:
    """Patches and values of the largest image that the engine reserves for."""
    side = reserved_image(shape, flags).side
    return (side // _count(shape, "vision.patch_size", 14)) ** 2 + 1, CHANNELS * side * side


def _audio_size(shape: ModelShape) -> tuple[int, int]:
    return AUDIO_FRAMES, CHANNELS * _count(shape, "audio.num_mel_bins", 128) * AUDIO_FRAMES


def _projector_type(shape: ModelShape, encoder: str) -> str:
    name = shape.get("projector_type") or shape.get(f"{encoder}.projector_type")
    return TYPE_ALIASES.get(name, name) if isinstance(name, str) else ""


def _count(shape: ModelShape, key: str, default: int) -> int:
    value = shape.get(key)
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1 << 20 else default
