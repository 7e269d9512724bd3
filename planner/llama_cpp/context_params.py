"""A llama-server command line with the engine's defaults filled in: the parameters of its context.

Source: llama.cpp ``llama_context::llama_context`` and ``tools/server/server.cpp``.
"""

from dataclasses import dataclass
from enum import StrEnum

from domain.launches.plan import LlamaFlags
from planner.model.hparams import Hparams

CELL_PADDING = 256  # llama_context pads the context, iSWA caches pad the window
AUTO_PARALLEL = 4  # llama-server without -np: four slots that share one cache
DEFAULT_CACHE_RAM_MIB = 8192
DEFAULT_CHECKPOINTS = 32
ALL_LAYERS = 999
DEFAULT_DRAFT_MAX = 3
# Tokens that speculation without a draft model proposes at a time, by default.
NGRAM_DRAFT_TOKENS = {
    "ngram-simple": 48,
    "ngram-map-k": 48,
    "ngram-map-k4v": 48,
    "ngram-mod": 64,
    "ngram-cache": 8,
}
# Architectures for which the engine turns flash attention off. Source: ``llama_init_from_model``.
WITHOUT_FLASH_ATTENTION = frozenset({"grok"})
MTP = "draft-mtp"
# Kinds of drafts that keep copies of recurrent states to roll back to, and the architectures that can.
# Source: ``common_params_speculative::need_n_rs_seq`` and ``llm_arch_supports_rs_rollback``.
ROLLBACK_DRAFTS = frozenset({MTP, "draft-eagle3", "draft-dflash", "draft-dspark"})
ROLLBACK_ARCHITECTURES = frozenset(
    {"qwen35", "qwen35moe", "qwen4exp", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe", "bailingmoe3"}
    | {"kimi-k3", "deepseek4", "glm5-next"}
)
# Build 10434 has no mixed batches and does not pipeline over RPC; build 11434 does both.
LAST_BUILD_WITHOUT_MIXED_BATCHES = 10434
# Build 10434 has cells for multi-token-prediction layers although no token passes them; 11434 has none.
LAST_BUILD_CACHING_MTP_LAYERS = 10434


class EngineTool(StrEnum):
    """The program that reads the command line: each reserves different sizes.

    ``SERVER``: a started llama-server. ``DRY_RUN``: what ``-fit on`` prints before it loads; it does not pin
    nodes to back ends. ``FIT_PARAMS``: also keeps logits for each token of a batch, where the server keeps
    one row for each slot."""

    SERVER = "llama-server"
    DRY_RUN = "llama-server -fit on"
    FIT_PARAMS = "llama-fit-params"


@dataclass(frozen=True, slots=True)
class ContextParams:
    """llama.cpp's ``llama_context_params``, as far as memory and speed depend on them.

    ``context`` is the cells of all sequences together, ``context_per_sequence`` those of one. ``streams``:
    separate caches; 1 if sequences share one. ``logits_rows``: tokens of a batch whose logits the graph
    keeps. ``pinned``: whether nodes that the engine assigns to a back end stay there. ``mixed_batches``:
    whether a batch may hold tokens and embeddings together. ``flash_attention_auto``: whether flash attention
    may still be turned off (``compute_buffers.resolve_flash_attention``); whether V is transposed is decided
    before that. ``mtp_layers_cached``: whether multi-token-prediction layers have cells. ``splits_by_layer``:
    whether GPUs share as ``-sm layer`` does. ``rollback_states``: copies of each recurrent state that drafted
    tokens can be rolled back to, besides the state itself. ``is_pooled``: whether each text's vectors become
    one."""

    gpu_layers: int
    context: int
    context_per_sequence: int
    sequences: int
    streams: int
    batch: int
    ubatch: int
    logits_rows: int
    pinned: bool
    mixed_batches: bool
    flash_attention: bool
    cache_type_k: str
    cache_type_v: str
    swa_full: bool
    kv_offload: bool
    flash_attention_auto: bool = False
    values_transposed: bool = False
    mtp_layers_cached: bool = False
    splits_by_layer: bool = True
    rollback_states: int = 0
    is_pooled: bool = False


def pad_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def speculative_tokens(flags: LlamaFlags) -> int:
    """Tokens proposed at a time, each of which has its logits. Source: ``common_speculative_n_max``."""
    draft_max = DEFAULT_DRAFT_MAX if flags.draft_max is None else flags.draft_max
    proposed = (
        draft_max if spec_type.startswith("draft") else NGRAM_DRAFT_TOKENS.get(spec_type, 0)
        for spec_type in flags.speculative
    )
    return max(proposed, default=0)


def rollback_states(flags: LlamaFlags, hparams: Hparams) -> int:
    """One for each token that may be drafted."""
    if hparams.architecture not in ROLLBACK_ARCHITECTURES or not ROLLBACK_DRAFTS & set(flags.speculative):
        return 0
    return DEFAULT_DRAFT_MAX if flags.draft_max is None else flags.draft_max


def resolve(
    flags: LlamaFlags, hparams: Hparams, *, tool: EngineTool = EngineTool.SERVER, build: int | None = None
) -> ContextParams:
    """``flags`` as ``tool`` reads them. ``build``: llama.cpp's number, ``None`` for a current one."""
    is_unified = flags.kv_unified if flags.kv_unified is not None else flags.parallel is None
    sequences = max(1, flags.parallel or AUTO_PARALLEL)
    requested = flags.context_tokens or hparams.trained_context_tokens
    batch = min(requested, flags.batch)
    ubatch = min(batch, flags.ubatch or batch)
    context = pad_up(requested, CELL_PADDING)
    cells_per_sequence = context
    if not is_unified:
        cells_per_sequence = pad_up(context // sequences, CELL_PADDING) or CELL_PADDING
        context = cells_per_sequence * sequences
    ubatch = min(context, ubatch)
    logits_rows = ubatch
    if tool is not EngineTool.FIT_PARAMS and not flags.is_pooled:
        logits_rows = min(ubatch, sequences * (1 + speculative_tokens(flags)))
    flash_attention = flags.flash_attention != "off" and hparams.architecture not in WITHOUT_FLASH_ATTENTION
    return ContextParams(
        gpu_layers=ALL_LAYERS if flags.gpu_layers is None else flags.gpu_layers,
        context=context,
        context_per_sequence=cells_per_sequence,
        sequences=sequences,
        streams=1 if is_unified else sequences,
        batch=batch,
        ubatch=ubatch,
        logits_rows=logits_rows,
        pinned=tool is EngineTool.SERVER,
        mixed_batches=build is None or build > LAST_BUILD_WITHOUT_MIXED_BATCHES,
        flash_attention=flash_attention,
        cache_type_k=flags.cache_type_k.upper(),
        cache_type_v=flags.cache_type_v.upper(),
        swa_full=flags.swa_full,
        kv_offload=flags.kv_offload,
        flash_attention_auto=flags.flash_attention == "auto",
        values_transposed=not flash_attention,
        mtp_layers_cached=build is not None and build <= LAST_BUILD_CACHING_MTP_LAYERS,
        splits_by_layer=flags.split_mode in (None, "layer"),
        rollback_states=rollback_states(flags, hparams),
        is_pooled=flags.is_pooled,
    )
