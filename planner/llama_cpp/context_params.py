"""A llama-server command line with the engine's defaults filled in, as its context is made from it.

Source: llama.cpp ``llama_context::llama_context`` and ``tools/server/server.cpp``.
"""

from dataclasses import dataclass
from enum import StrEnum

from domain.plan import LlamaFlags
from planner.model.hparams import Hparams

CELL_PADDING = 256  # llama_context pads the context, iSWA caches pad the window
AUTO_PARALLEL = 4  # llama-server without -np: four slots that share one cache
DEFAULT_CACHE_RAM_MIB = 8192
DEFAULT_CHECKPOINTS = 32
ALL_LAYERS = 999
DEFAULT_DRAFT_MAX = 3
# How many tokens other ways of guessing put up at a time, by their defaults.
GUESSED = {"ngram-simple": 48, "ngram-map-k": 48, "ngram-map-k4v": 48, "ngram-mod": 64, "ngram-cache": 8}
# The engine turns flash attention off for these. Source: ``llama_init_from_model``.
UNFLASHED = frozenset({"grok"})
# Build 10434 has no room for mixed batches and does not pipeline over RPC; build 11434 does both.
LAST_UNMIXED_BUILD = 10434
# Build 10068 has cells for the layers that guess tokens, too, though no token passes them; 11434 has none.
LAST_GUESSER_CACHING_BUILD = 10068


class Reader(StrEnum):
    """Who reads the command line. A started llama-server; its dry run (what -fit on prints before it
    loads), which forgets what was set to a back end; llama-fit-params, which moreover keeps logits for
    each token of a batch, where the server keeps one row for each slot."""

    SERVER = "llama-server"
    DRY_RUN = "llama-server -fit on"
    FIT_PARAMS = "llama-fit-params"


@dataclass(frozen=True, slots=True)
class ContextParams:
    """``context`` counts the cells of all sequences together, ``context_per_sequence`` of one stream.

    ``logits_rows``: for how many tokens of a batch the graph keeps logits. ``pinned``: nodes that the
    engine sets to a back end stay there; its dry run forgets that. ``mixed``: whether a batch may hold
    tokens and vectors together, which newer builds make room for. ``flash_attention_auto``: whether it
    may yet turn out to be off (``compute.settled``). ``values_transposed``: how V is kept, which is settled
    before that. ``guessers_cached``: whether layers that guess tokens have cells without being used.
    ``by_layers``: how GPUs share, as -sm layer does."""

    gpu_layers: int
    context: int
    context_per_sequence: int
    sequences: int
    streams: int
    batch: int
    ubatch: int
    logits_rows: int
    pinned: bool
    mixed: bool
    flash_attention: bool
    cache_type_k: str
    cache_type_v: str
    swa_full: bool
    kv_offload: bool
    flash_attention_auto: bool = False
    values_transposed: bool = False
    guessers_cached: bool = False
    by_layers: bool = True


def padded(value: int, to: int) -> int:
    return -(-value // to) * to


def speculative_tokens(flags: LlamaFlags) -> int:
    """Tokens put up at a time, each of which has its logits. Source: ``common_speculative_n_max``."""
    most = DEFAULT_DRAFT_MAX if flags.draft_max is None else flags.draft_max
    return max(
        (most if kind.startswith("draft") else GUESSED.get(kind, 0) for kind in flags.speculative), default=0
    )


def resolve(
    flags: LlamaFlags, hparams: Hparams, *, reader: Reader = Reader.SERVER, build: int | None = None
) -> ContextParams:
    """``flags`` as this reader of the command line takes them. ``build``: llama.cpp's number, ``None``
    for one of today."""
    unified = flags.kv_unified if flags.kv_unified is not None else flags.parallel is None
    sequences = max(1, flags.parallel or AUTO_PARALLEL)
    asked = flags.context_tokens or hparams.native_context
    batch = min(asked, flags.batch)
    ubatch = min(batch, flags.ubatch or batch)
    context = padded(asked, CELL_PADDING)
    per_sequence = context
    if not unified:
        per_sequence = padded(context // sequences, CELL_PADDING) or CELL_PADDING
        context = per_sequence * sequences
    tokens = min(context, ubatch)
    flash = flags.flash_attention != "off" and hparams.architecture not in UNFLASHED
    return ContextParams(
        gpu_layers=ALL_LAYERS if flags.gpu_layers is None else flags.gpu_layers,
        context=context,
        context_per_sequence=per_sequence,
        sequences=sequences,
        streams=1 if unified else sequences,
        batch=batch,
        ubatch=tokens,
        logits_rows=tokens
        if reader is Reader.FIT_PARAMS
        else min(tokens, sequences * (1 + speculative_tokens(flags))),
        pinned=reader is Reader.SERVER,
        mixed=build is None or build > LAST_UNMIXED_BUILD,
        flash_attention=flash,
        cache_type_k=flags.cache_type_k.upper(),
        cache_type_v=flags.cache_type_v.upper(),
        swa_full=flags.swa_full,
        kv_offload=flags.kv_offload,
        flash_attention_auto=flags.flash_attention == "auto",
        values_transposed=not flash,
        guessers_cached=build is not None and build <= LAST_GUESSER_CACHING_BUILD,
        by_layers=flags.split_mode in (None, "layer"),
    )
