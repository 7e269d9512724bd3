"""The llama-server option for each field of ``LlamaFlags``: one table, used in both directions."""

import math
from dataclasses import dataclass
from enum import Enum, auto

from domain.errors import UsageError


class Kind(Enum):
    COUNT = auto()  # a number; one below ``least`` means the engine's default
    LAYERS = auto()  # a number, auto or all
    FLOATS = auto()  # 3,1
    WORD = auto()
    WORDS = auto()  # a,b
    PAIRS = auto()  # pattern=buffer type,...
    ON_OFF = auto()  # --fit on
    SWITCH = auto()  # --repack, --no-repack


@dataclass(frozen=True, slots=True)
class Flag:
    """``names``: the first that a build has is passed. ``off``: what turns a SWITCH off. ``optional``: may
    be left out for a build that lacks it."""

    field: str
    kind: Kind
    names: tuple[str, ...]
    off: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    least: int = 0
    optional: bool = False


CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOAD_MODES = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
LOAD_MODE = ("--load-mode", "-lm")

FLAGS: tuple[Flag, ...] = (
    Flag("gpu_layers", Kind.LAYERS, ("--n-gpu-layers", "--gpu-layers", "-ngl")),
    Flag("split_mode", Kind.WORD, ("--split-mode", "-sm"), values=("none", "layer", "row", "tensor")),
    Flag("tensor_split", Kind.FLOATS, ("--tensor-split", "-ts")),
    Flag("main_gpu", Kind.COUNT, ("--main-gpu", "-mg"), least=-1),
    Flag("rpc", Kind.WORDS, ("--rpc",)),
    Flag("devices", Kind.WORDS, ("--device", "-dev")),
    Flag("overrides", Kind.PAIRS, ("--override-tensor", "-ot")),
    Flag("cpu_moe", Kind.SWITCH, ("--cpu-moe", "-cmoe")),
    Flag("n_cpu_moe", Kind.COUNT, ("--n-cpu-moe", "-ncmoe")),
    Flag("context_tokens", Kind.COUNT, ("--ctx-size", "-c"), least=1),
    Flag("parallel", Kind.COUNT, ("--parallel", "-np"), least=1),
    Flag("kv_unified", Kind.SWITCH, ("--kv-unified", "-kvu"), off=("--no-kv-unified", "-no-kvu")),
    Flag("cache_type_k", Kind.WORD, ("--cache-type-k", "-ctk"), values=CACHE_TYPES),
    Flag("cache_type_v", Kind.WORD, ("--cache-type-v", "-ctv"), values=CACHE_TYPES),
    Flag("flash_attention", Kind.WORD, ("--flash-attn", "-fa"), values=("on", "off", "auto")),
    Flag("batch", Kind.COUNT, ("--batch-size", "-b"), least=1),
    Flag("ubatch", Kind.COUNT, ("--ubatch-size", "-ub")),  # 0: as large as the batch
    Flag("threads", Kind.COUNT, ("--threads", "-t"), least=1),
    Flag("threads_batch", Kind.COUNT, ("--threads-batch", "-tb"), least=1),
    Flag("swa_full", Kind.SWITCH, ("--swa-full",)),
    Flag("repack", Kind.SWITCH, ("--repack",), off=("--no-repack", "-nr")),
    Flag("cache_ram_mib", Kind.COUNT, ("--cache-ram", "-cram"), least=-1, optional=True),
    Flag(
        "ctx_checkpoints",
        Kind.COUNT,
        ("--ctx-checkpoints", "--swa-checkpoints", "-ctxcp"),
        optional=True,
    ),
    Flag("kv_offload", Kind.SWITCH, ("--kv-offload", "-kvo"), off=("--no-kv-offload", "-nkvo")),
    Flag("mmproj", Kind.WORD, ("--mmproj", "-mm")),
    Flag("mmproj_offload", Kind.SWITCH, ("--mmproj-offload",), off=("--no-mmproj-offload",)),
    Flag("mmproj_device", Kind.WORD, ("--mmproj-device", "-mmdev")),
    Flag("image_max_tokens", Kind.COUNT, ("--image-max-tokens",), least=1),
    Flag("draft_model", Kind.WORD, ("--model-draft", "--spec-draft-model", "-md")),
    Flag(
        "draft_gpu_layers",
        Kind.LAYERS,
        ("--spec-draft-ngl", "-ngld", "--gpu-layers-draft", "--n-gpu-layers-draft"),
    ),
    Flag("draft_devices", Kind.WORDS, ("--spec-draft-device", "-devd", "--device-draft")),
    Flag(
        "draft_cache_type_k",
        Kind.WORD,
        ("--spec-draft-type-k", "-ctkd", "--cache-type-k-draft"),
        values=CACHE_TYPES,
    ),
    Flag(
        "draft_cache_type_v",
        Kind.WORD,
        ("--spec-draft-type-v", "-ctvd", "--cache-type-v-draft"),
        values=CACHE_TYPES,
    ),
    Flag("draft_max", Kind.COUNT, ("--spec-draft-n-max",)),
    Flag("speculative", Kind.WORDS, ("--spec-type",)),
    Flag("fit", Kind.ON_OFF, ("--fit", "-fit"), optional=True),
    Flag("jinja", Kind.SWITCH, ("--jinja",), off=("--no-jinja",)),
    Flag("reasoning_format", Kind.WORD, ("--reasoning-format",), optional=True),
    Flag("embedding", Kind.SWITCH, ("--embedding", "--embeddings")),
    Flag("reranking", Kind.SWITCH, ("--reranking", "--rerank")),
    Flag("pooling", Kind.WORD, ("--pooling",), values=("none", "mean", "cls", "last", "rank")),
)

BY_NAME: dict[str, Flag] = {name: flag for flag in FLAGS for name in (*flag.names, *flag.off)}

# llama-server: "auto" is -1 and "all" is below that; no model has as many layers as ALL_LAYERS.
ALL_LAYERS = 999
# The engine's own default is to fit what is unset; the default of ``LlamaFlags`` is that of plans.
ENGINE_FITS = True


def encode(flag: Flag, value: object) -> str:
    """The word after the option."""
    match flag.kind, value:
        case Kind.ON_OFF, bool():
            return "on" if value else "off"
        case Kind.FLOATS, tuple():
            return ",".join(f"{part:g}" for part in value)
        case Kind.WORDS, tuple():
            return ",".join(value)
        case Kind.PAIRS, tuple():  # in one option: builds accept several with a warning
            return ",".join(f"{pattern}={buffer}" for pattern, buffer in value)
    return str(value)


def decode(flag: Flag, option: str, word: str) -> object:
    """The value of a word; ``None`` where it means the engine's default. Raises: UsageError."""
    match flag.kind:
        case Kind.COUNT | Kind.LAYERS:
            return _number(flag, option, word)
        case Kind.FLOATS:
            return _floats(option, word)
        case Kind.WORDS:
            return tuple(part for part in word.split(",") if part)
        case Kind.PAIRS:
            return _pairs(option, word)
        case Kind.ON_OFF:
            return _one_of(option, word, ("on", "off")) == "on"
    return _one_of(option, word, flag.values) if flag.values else word


def _number(flag: Flag, option: str, word: str) -> int | None:
    if flag.kind is Kind.LAYERS and word in ("auto", "all"):
        return None if word == "auto" else ALL_LAYERS
    try:
        number = int(word)
    except ValueError:
        raise UsageError(f"{option} takes a number, found {word!r}") from None
    if flag.kind is Kind.LAYERS and number < -1:
        return ALL_LAYERS
    return number if number >= flag.least else None


def _floats(option: str, word: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in word.replace("/", ",").split(","))
    except ValueError:
        parts = ()
    if not parts or not all(0 <= part < math.inf for part in parts):
        raise UsageError(f"{option} takes proportions such as 3,1, found {word!r}")
    return parts


def _pairs(option: str, word: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in word.split(","):
        pattern, equals, buffer = part.rpartition("=")
        if not (pattern and equals and buffer):
            raise UsageError(f"{option} takes PATTERN=BUFFER,... such as exps=CPU, found {part!r}")
        pairs.append((pattern, buffer))
    return tuple(pairs)


def _one_of(option: str, word: str, values: tuple[str, ...]) -> str:
    if word not in values:
        raise UsageError(f"{option} takes one of {', '.join(values)}, found {word!r}")
    return word
