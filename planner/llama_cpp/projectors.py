"""What turns images and sound into tokens beside a model: where it stands, and what it takes.

Source: llama.cpp ``tools/mtmd/clip.cpp``: the graph of one image is reserved at the start.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isqrt

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner.llama_cpp.draft_models import Companion
from planner.llama_cpp.graph import projector as graphs
from planner.llama_cpp.graph.context import NotLaidOutError
from planner.llama_cpp.graph.schedule import Scheduler
from planner.llama_cpp.placement import HOST_ID
from planner.machine import devices
from planner.machine.devices import Device

F32 = 4
HOST_ALIGNMENT = 32
TENSOR_ALIGNMENT = 128  # the largest of the back ends'
# Build 10068 puts a projector on the first GPU whatever ``-dev`` says; 11434 follows ``-dev`` and ``-mmdev``.
LAST_UNMOVED_BUILD = 10068
# Image sides, in tokens, at which the engine reserves a projector's graph where it takes any size: of each
# kind, and the largest for others. Source: ``set_warmup_n_tokens``, ``set_limit_image_tokens`` of b11434.
WARMUP_TOKENS = 46
WARMUPS = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v", "glm5v"), 46),
    **dict.fromkeys(("dots_ocr", "ling3vl", "mimovl", "exaone4_5"), 46),
    **dict.fromkeys(("pixtral", "lightonocr", "kimivl", "gemma4v", "gemma4uv", "phi4", "youtuvl"), 16),
    **dict.fromkeys(("minimax_m3", "lfm2"), 16),
    **dict.fromkeys(("hunyuanvl", "muse-glimmer"), 32),
    "paddleocr": 28,
}
# These take one size only.
ONE_SIZE = frozenset(
    {"mlp", "mlp_norm", "ldp", "ldpv2", "cogvlm", "adapter", "resampler", "internvl", "idefics3"}
    | {"gemma3", "gemma3nv", "llama4", "step3vl", "nemotron_v2_vl"}
)
# Patches on a side that make one token, where the header does not say. Source: ``load_hparams``.
MERGED = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v"), 2),
    **dict.fromkeys(("pixtral", "lightonocr", "kimivl", "lfm2", "internvl", "idefics3", "llama4"), 1),
    "gemma3": 4,
    "gemma4v": 3,
}
MOST_MERGED = 4
# Older files name what made them; this one has images and sound.
RENAMED = {"qwen2.5o": "qwen2.5vl_merger"}
WINDOWS = ("n_wa_pattern", "window_size", "wa_layer_indexes", "wa_pattern_mode")
COLOURS = 3
PLACES = 4  # numbers that say where a token stands, at most
FRAMES = 3000  # of a 30 s window of sound, before they are halved
NOTE = "the projector's compute is a bound from above, for images of the size that the engine reserves"


@dataclass(frozen=True, slots=True)
class Image:
    """What the engine reserves for: ``side`` in pixels, ``merge`` x ``merge`` patches a token."""

    kind: str
    side: int
    merge: int
    flash_attention: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One graph to lay out, compared by what decides its size."""

    image: Image
    alignments: tuple[int, ...]
    file_bytes: int
    tensors: int
    shape: ModelShape = field(compare=False)


def projector(shape: ModelShape, flags: LlamaFlags, hardware: Hardware) -> Companion:
    on = place(flags, hardware)
    where = 0 if on else HOST_ID
    weights = sum(-(-tensor.size_bytes // TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT for tensor in shape.tensors)
    work: Counter[int] = Counter({where: 0})
    is_bound = False
    for part in ("vision", "audio"):
        if not _count(shape, f"{part}.embedding_length", 0):
            continue
        laid = _laid_out(shape, flags, on) if part == "vision" else None
        work.update(_bound(shape, part, flags, where) if laid is None else laid)
        is_bound |= laid is None
    return Companion(on, {where: weights}, {}, dict(work), notes=(NOTE,) if is_bound else ())


def place(flags: LlamaFlags, hardware: Hardware) -> tuple[Device, ...]:
    """The GPU that it stands on; none: the host."""
    if not flags.mmproj_offload or flags.mmproj_device == "none":
        return ()
    found = devices.devices(hardware, LlamaFlags())
    build = devices.build_of(hardware)
    if flags.mmproj_device:
        found = devices.named(found, (flags.mmproj_device,))
    elif build is None or build > LAST_UNMOVED_BUILD:
        found = devices.devices(hardware, replace(flags, split_mode=None))
    return found[:1]


def image(shape: ModelShape, flags: LlamaFlags) -> Image:
    kind = _kind(shape, "vision")
    patch = _count(shape, "vision.patch_size", 14)
    told = _count(shape, "vision.spatial_merge_size", 0) or _count(shape, "vision.projector.scale_factor", 0)
    merge = told or MERGED.get(kind, MOST_MERGED)
    side = _count(shape, "vision.image_size", 0)
    if kind not in ONE_SIZE:
        tokens = WARMUPS.get(kind, WARMUP_TOKENS)
        if flags.image_max_tokens and flags.image_max_tokens < tokens * tokens:
            tokens = max(1, isqrt(flags.image_max_tokens))
        warmup = tokens * patch * merge
        side = warmup if kind in WARMUPS else max(side, warmup)
    return Image(kind, side, merge, flash_attention=flags.flash_attention != "off")


def _laid_out(shape: ModelShape, flags: LlamaFlags, on: tuple[Device, ...]) -> Mapping[int, int] | None:
    """Bytes by device number: the engine's own graph. ``None``: not known here."""
    alignments = (*(device.backend.alignment for device in on), HOST_ALIGNMENT)
    sizes = _sizes(Job(image(shape, flags), alignments, shape.file_bytes, len(shape.tensors), shape))
    return None if sizes is None else {HOST_ID: sizes[-1], **dict(enumerate(sizes[:-1]))}


@lru_cache(maxsize=64)
def _sizes(job: Job) -> tuple[int, ...] | None:
    one = job.image
    try:
        graph = graphs.build(job.shape, one.kind, one.side, one.merge, flash_attention=one.flash_attention)
    except NotLaidOutError:
        return None
    offloads = [False] * len(job.alignments)
    return tuple(Scheduler(list(job.alignments), offloads).buffer_sizes(graph))


def _bound(shape: ModelShape, part: str, flags: LlamaFlags, where: int) -> Mapping[int, int]:
    """What one encoder's graph can hold at once: of every token the residual, its norm, its position and
    what was kept of it, the wider of attention (three matrices and their copies) and feed-forward (three
    matrices where it is gated), and the input with its patches; scores of all heads without flash
    attention; a mask with its copies where blocks look at windows. On the host beside a GPU: what is
    handed over. A test compares it with all that were recorded."""
    width = _count(shape, f"{part}.embedding_length", 0)
    inner = _count(shape, f"{part}.feed_forward_length", 4 * width)
    tokens, inputs = _sound(shape) if part == "audio" else _picture(shape, flags)
    gated = any("ffn_gate" in tensor.name for tensor in shape.tensors)
    values = tokens * (4 * width + max(6 * width, inner * (1 + 2 * gated))) + 2 * inputs
    masks = tokens * tokens * any(shape.get(f"{part}.{key}") is not None for key in WINDOWS)
    if flags.flash_attention == "off":
        values += _count(shape, f"{part}.attention.head_count", 1) * tokens * tokens
    given = inputs + PLACES * tokens + masks if where != HOST_ID else 0
    return Counter({where: F32 * (values + 2 * masks)}) + Counter({HOST_ID: F32 * given})


def _picture(shape: ModelShape, flags: LlamaFlags) -> tuple[int, int]:
    """Patches of the largest image that is reserved for, and its values."""
    side = image(shape, flags).side
    return (side // _count(shape, "vision.patch_size", 14)) ** 2 + 1, COLOURS * side * side


def _sound(shape: ModelShape) -> tuple[int, int]:
    return FRAMES, COLOURS * _count(shape, "audio.num_mel_bins", 128) * FRAMES


def _kind(shape: ModelShape, part: str) -> str:
    found = shape.get("projector_type") or shape.get(f"{part}.projector_type")
    return RENAMED.get(found, found) if isinstance(found, str) else ""


def _count(shape: ModelShape, key: str, default: int) -> int:
    value = shape.get(key)
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1 << 20 else default
