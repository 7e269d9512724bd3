"""A llama-server command line with the engine's defaults filled in, as its context is made from it.

Source: llama.cpp ``llama_context::llama_context`` and ``tools/server/server.cpp``.
"""

from dataclasses import dataclass

from domain.plan import LlamaFlags
from planner.hparams import Hparams

CELL_PADDING = 256  # llama_context pads the context, iSWA caches pad the window
AUTO_PARALLEL = 4  # llama-server without -np: four slots that share one cache
DEFAULT_CACHE_RAM_MIB = 8192
DEFAULT_CHECKPOINTS = 32
ALL_LAYERS = 999


@dataclass(frozen=True, slots=True)
class Resolved:
    """``context`` counts the cells of all sequences together, ``context_per_sequence`` of one stream.

    ``logits_rows``: for how many tokens of a batch the graph keeps logits."""

    gpu_layers: int
    context: int
    context_per_sequence: int
    sequences: int
    streams: int
    batch: int
    ubatch: int
    logits_rows: int
    flash_attention: bool
    cache_type_k: str
    cache_type_v: str
    swa_full: bool
    kv_offload: bool


def padded(value: int, to: int) -> int:
    return -(-value // to) * to


def resolve(flags: LlamaFlags, hparams: Hparams, *, all_logits: bool = False) -> Resolved:
    """``all_logits``: as llama-fit-params and llama-bench reserve, a row for each token of a ubatch;
    llama-server keeps one for each slot."""
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
    return Resolved(
        gpu_layers=ALL_LAYERS if flags.gpu_layers is None else flags.gpu_layers,
        context=context,
        context_per_sequence=per_sequence,
        sequences=sequences,
        streams=1 if unified else sequences,
        batch=batch,
        ubatch=tokens,
        logits_rows=tokens if all_logits else min(tokens, sequences),
        flash_attention=flags.flash_attention != "off",
        cache_type_k=flags.cache_type_k.upper(),
        cache_type_v=flags.cache_type_v.upper(),
        swa_full=flags.swa_full,
        kv_offload=flags.kv_offload,
    )
