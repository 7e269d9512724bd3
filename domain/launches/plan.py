"""What is asked of the planner and what it answers. Names and nesting are the contract of
``node-ctl plan --json`` and ``node-ctl estimate --json``: fields may be added, never renamed."""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from domain.models.model import Weights

LLAMA_CPP = "llama.cpp"
VLLM = "vllm"
HOST = "host"


class Confidence(StrEnum):
    """How sure a plan's memory is: by rules alone, agreed by the engine on a replica, or read back from a
    run. ``SpeedSource`` says the same of its speed."""

    ESTIMATED = "estimated"
    ENGINE_CHECKED = "engine-checked"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What the owner asked for; ``None`` leaves the choice to the planner. ``max_context``: the longest
    context that fits, in place of ``context_tokens``. ``min_context_tokens`` and ``min_quality`` (a quant or
    a level): the least that a plan may be, at first and after memory ran out. ``use``: ``chat``, ``agent`` or
    ``batch``. ``from_disk``: weights that don't fit in memory may be read from the disk for each token.
    ``no_mmproj`` and ``no_draft`` decline what the model has beside it: its projector for images, and what
    drafts tokens for it."""

    context_tokens: int | None = None
    parallel: int | None = None
    min_decode_tokens_per_s: float | None = None
    quality: str | None = None
    engine: str | None = None
    threads: int | None = None
    from_disk: bool = False
    use: str | None = None
    no_mmproj: bool = False
    no_draft: bool = False
    max_context: bool = False
    min_context_tokens: int | None = None
    min_quality: str | None = None

    @property
    def asks_for_context(self) -> bool:
        return self.context_tokens is not None or self.max_context

    def over(self, before: "LaunchOptions") -> "LaunchOptions":
        """Those given here, and those of ``before`` for the rest."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        if self.asks_for_context:
            before = replace(before, context_tokens=None, max_context=False)
        return replace(before, **{name: value for name, value in given.items() if value not in (None, False)})


@dataclass(frozen=True, slots=True)
class LlamaFlags:
    """A llama-server command line in values. Every field that a plan sets is passed explicitly:
    a half-set line makes the engine fit, and then load, something else.

    ``gpu_layers`` counts as ``-ngl`` does (the output layer is one); ``tensor_split`` are the
    proportions of ``-ts``; ``overrides`` are ``-ot`` pairs (pattern, buffer type);
    ``cache_ram_mib`` -1 is no limit, 0 off; ``draft_max`` tokens are drafted at a time.
    ``None`` = the engine's own default.
    """

    gpu_layers: int | None = None
    tensor_split: tuple[float, ...] = ()
    split_mode: str | None = None
    main_gpu: int | None = None
    devices: tuple[str, ...] = ()
    rpc: tuple[str, ...] = ()
    overrides: tuple[tuple[str, str], ...] = ()
    cpu_moe: bool = False
    n_cpu_moe: int | None = None
    context_tokens: int | None = None
    parallel: int | None = None
    kv_unified: bool | None = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: str = "auto"
    batch: int = 2048
    ubatch: int = 512
    threads: int | None = None
    threads_batch: int | None = None
    swa_full: bool = False
    repack: bool = True
    cache_ram_mib: int | None = None
    ctx_checkpoints: int | None = None
    load_mode: str | None = None
    kv_offload: bool = True
    mmproj: str | None = None
    mmproj_offload: bool = True
    mmproj_device: str | None = None
    image_max_tokens: int | None = None
    draft_model: str | None = None
    draft_gpu_layers: int | None = None
    draft_devices: tuple[str, ...] = ()
    draft_cache_type_k: str | None = None
    draft_cache_type_v: str | None = None
    draft_max: int | None = None
    speculative: tuple[str, ...] = ()
    fit: bool = False
    jinja: bool | None = None
    reasoning_format: str | None = None
    embedding: bool = False
    reranking: bool = False
    pooling: str | None = None
    extra: tuple[str, ...] = ()

    @property
    def is_pooled(self) -> bool:
        """Whether it answers with vectors or scores, and generates nothing."""
        return self.embedding or self.reranking


@dataclass(frozen=True, slots=True)
class VllmFlags:
    """A ``vllm serve`` command line in values. A plan gives KV memory in absolute bytes per rank; its
    ``gpu_memory_utilization`` says no more than what must be free at the start. ``None`` = the engine's
    own default."""

    dtype: str = "auto"
    max_model_len: int | None = None
    kv_cache_memory_bytes: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str = "auto"
    block_size: int | None = None
    cpu_offload_gb: float = 0.0
    max_num_batched_tokens: int | None = None
    tensor_parallel: int = 1
    quantization: str | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    device_ids: tuple[int, ...] = ()
    tool_call_parser: str | None = None
    auto_tool_choice: bool = False
    reasoning_parser: str | None = None
    config_format: str | None = None
    load_format: str | None = None
    tokenizer_mode: str | None = None
    runner: str | None = None
    hf_overrides: str | None = None
    chat_template: str | None = None
    extra: tuple[str, ...] = ()


EngineFlags = LlamaFlags | VllmFlags


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What one device must hold. ``overhead_bytes`` is what belongs to no tensor: the driver's
    context, the engine's own heap, the prompt cache on the host."""

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    overhead_bytes: int = 0
    needed_bytes: int = 0
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """A prediction: the true figure is expected between ``low`` and ``high`` nine times of ten."""

    low: float
    expected: float
    high: float


class SpeedSource(StrEnum):
    """How sure a speed is: by rules alone, by what other runs here were measured at, or by runs here of
    this very command line."""

    PREDICTED = "predicted"
    CORRECTED = "corrected"
    MEASURED = "measured"

    @property
    def mark(self) -> str:
        """What is shown in brackets: no prediction is a measurement, whatever corrected it."""
        return {"predicted": "estimated", "corrected": "from other runs", "measured": "from its runs"}[self]


@dataclass(frozen=True, slots=True)
class Speed:
    """``load_s``: from the start to the first answer with the weights on the disk; ``load_warm_s`` with
    them in the page cache, as after a first start."""

    decode_tokens_per_s: Range | None = None
    prefill_tokens_per_s: Range | None = None
    load_s: float | None = None
    decode_source: SpeedSource = SpeedSource.PREDICTED
    prefill_source: SpeedSource = SpeedSource.PREDICTED
    load_warm_s: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one exact command line would take, and how fast it would be."""

    engine: str
    memory: tuple[DeviceMemory, ...]
    speed: Speed
    fits: bool
    confidence: Confidence
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A plan that was not chosen, and its price."""

    what: str
    why_not: str
    decode_tokens_per_s: float | None = None
    needed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen command. ``argv`` and ``env`` are filled by the launcher of ``engine`` from
    ``flags``; a plan for a box that isn't here has the argv its engine would get. ``layers`` of the
    model are counted as ``-ngl`` counts: the output layer is one. ``engine_path`` is the build that it was
    made for, where the best one that is installed refuses the model. ``notes`` are what an owner should know
    first, such as a GPU that was left out. ``pool_tokens``: of a cache that several sequences share, of which
    each is sure of ``guaranteed_tokens``; ``None`` where each has its whole context to itself."""

    model: str
    engine: str
    weights: Weights
    context_tokens: int
    parallel: int
    kv_cache_type: str
    memory: tuple[DeviceMemory, ...]
    speed: Speed
    fits: bool
    confidence: Confidence
    flags: EngineFlags
    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    layers: int | None = None
    engine_path: str | None = None
    notes: tuple[str, ...] = ()
    pool_tokens: int | None = None
    guaranteed_tokens: int | None = None

    @property
    def max_requests(self) -> int | None:
        """How many requests its engine computes at once; ``None`` where that chooses."""
        return self.flags.parallel if isinstance(self.flags, LlamaFlags) else self.flags.max_num_seqs

    @property
    def needed_bytes(self) -> int:
        """Over all devices."""
        return sum(device.needed_bytes for device in self.memory)
