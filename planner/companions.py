"""Files that a llama-server loads beside the model: a draft model, and what turns images into tokens.

Source: llama.cpp ``common_base_params_to_speculative``, ``common_speculative_init_result`` and
``tools/mtmd/clip.cpp``.
"""

from dataclasses import dataclass, replace

from domain.hardware import Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags
from planner import compute, devices, host, hparams, kv, placement, resolved
from planner.devices import Device
from planner.placement import HOST_ID
from planner.resolved import Reader, Resolved

F32 = 4
TENSOR_ALIGNMENT = 128  # the largest of the back ends'
# Image sides, in tokens, at which the engine reserves a projector's graph where it takes any size: of each
# kind, and the largest for others. Source: the ``set_warmup_n_tokens`` calls of b11434's clip.cpp.
WARMUP_TOKENS = 46
WARMUPS = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "glm4v", "glm5v"), 46),
    **dict.fromkeys(("dots_ocr", "ling3vl", "mimovl", "exaone4_5"), 46),
    **dict.fromkeys(("pixtral", "lightonocr", "kimivl", "gemma4v", "gemma4uv", "phi4", "youtuvl"), 16),
    **dict.fromkeys(("minimax_m3",), 16),
    **dict.fromkeys(("hunyuanvl", "muse-glimmer"), 32),
    "paddleocr": 28,
}
# These take one size only.
ONE_SIZE = frozenset(
    {"mlp", "mlp_norm", "ldp", "ldpv2", "cogvlm", "adapter", "resampler", "internvl", "idefics3"}
    | {"gemma3", "gemma3nv", "llama4", "step3vl", "nemotron_v2_vl"}
)
WINDOWED = frozenset({"qwen2.5vl_merger"})
MOST_MERGED = 4
FRAMES = 3000  # of a 30 s window of sound, before they are halved


@dataclass(frozen=True, slots=True)
class Companion:
    """Bytes by number in ``devices``; ``overhead_bytes`` on the host."""

    devices: tuple[Device, ...]
    weights: dict[int, int]
    cache: dict[int, int]
    work: dict[int, int]
    overhead_bytes: int = 0
    notes: tuple[str, ...] = ()


def draft_line(flags: LlamaFlags, main: Resolved) -> LlamaFlags:
    """With as many cells as the model has (``main``), on its devices unless said otherwise."""
    return replace(
        flags,
        gpu_layers=flags.draft_gpu_layers,
        devices=flags.draft_devices or flags.devices,
        overrides=(),
        cpu_moe=False,
        n_cpu_moe=None,
        context_tokens=main.context,
        cache_type_k=flags.draft_cache_type_k or "f16",
        cache_type_v=flags.draft_cache_type_v or "f16",
        draft_model=None,
        speculative=(),
    )


def draft(shape: ModelShape, flags: LlamaFlags, main: Resolved, hardware: Hardware) -> Companion:
    own = draft_line(flags, main)
    model = hparams.read(shape)
    run = resolved.resolve(own, model, reader=Reader.SERVER, build=devices.build_of(hardware))
    where = placement.place(shape, model, own, devices.devices(hardware, own))
    run = compute.settled(shape, model, run, where)
    return Companion(
        where.devices,
        where.weights,
        kv.per_device(model, run, where),
        compute.per_device(shape, model, run, where),
        host.overhead_bytes(shape, model, run, replace(own, cache_ram_mib=own_limit(flags)))
        - host.BASE_HEAP_BYTES,
    )


def own_limit(flags: LlamaFlags) -> int:
    """What a draft's state adds to saved prompts: nothing where their sum is limited."""
    return -1 if (flags.cache_ram_mib or 0) < 0 else 0


def projector(shape: ModelShape, flags: LlamaFlags, hardware: Hardware) -> Companion:
    """On the first GPU unless it is kept off: ``-dev`` does not move it."""
    used = devices.devices(hardware, LlamaFlags())[:1]
    where = 0 if used and flags.mmproj_offload else HOST_ID
    weights = sum(-(-tensor.size_bytes // TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT for tensor in shape.tensors)
    sizes = [work for part in ("vision", "audio") if (work := _work(shape, part, flags))]
    note = "the projector's compute is a bound from above, for images of the size that the engine reserves"
    on = used if where != HOST_ID else ()
    return Companion(on, {where: weights}, {}, {where: sum(sizes)}, notes=(note,))


def _work(shape: ModelShape, part: str, flags: LlamaFlags) -> int:
    """What one encoder's graph can hold at once: of every token the residual, its norm and the wider of
    attention (three matrices and their copies) and feed-forward, and the input with its patches.
    For gemma3's b10068 reserves three quarters of it."""
    width = _count(shape, f"{part}.embedding_length", 0)
    if not width:
        return 0
    inner = _count(shape, f"{part}.feed_forward_length", 4 * width)
    tokens, inputs = _sound(shape) if part == "audio" else _image(shape)
    gated = any("ffn_gate" in tensor.name for tensor in shape.tensors)
    values = tokens * (2 * width + max(6 * width, inner * (1 + gated))) + inputs
    squares = 1 if _kind(shape) in WINDOWED else 0
    if flags.flash_attention == "off":
        squares += 2 * _count(shape, f"{part}.attention.head_count", 1)
    return F32 * (values + squares * tokens * tokens)


def _image(shape: ModelShape) -> tuple[int, int]:
    """Patches of the largest image that is reserved for, and values of it and of its patches."""
    patch = max(1, _count(shape, "vision.patch_size", 14))
    side = _count(shape, "vision.image_size", 0)
    if _kind(shape) not in ONE_SIZE:
        merged = _count(
            shape, "vision.spatial_merge_size", _count(shape, "vision.projector.scale_factor", MOST_MERGED)
        )
        warmup = WARMUPS.get(_kind(shape), WARMUP_TOKENS) * patch * max(1, merged)
        side = warmup if _kind(shape) in WARMUPS else max(side, warmup)
    return (side // patch) ** 2 + 1, 2 * 3 * side * side


def _sound(shape: ModelShape) -> tuple[int, int]:
    bins = _count(shape, "audio.num_mel_bins", 128)
    return FRAMES, 2 * 3 * bins * FRAMES


def _kind(shape: ModelShape) -> str:
    found = shape.get("projector_type") or shape.get("vision.projector_type")
    return found if isinstance(found, str) else ""


def _count(shape: ModelShape, key: str, default: int) -> int:
    value = shape.get(key)
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1 << 20 else default
