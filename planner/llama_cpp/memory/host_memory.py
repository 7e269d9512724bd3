"""Host RAM besides tensors: the engine's heap, prompt cache, checkpoints and output rows.

Weights on the host count once, mapped or repacked: a repacked copy is the engine's own memory, and the pages
of the file that it was made from are reclaimed when RAM is short.
"""

from domain.launches.plan import LlamaFlags
from domain.models.model import ModelShape
from domain.units import MIB, gib
from planner.llama_cpp.context_params import DEFAULT_CACHE_RAM_MIB, DEFAULT_CHECKPOINTS, ContextParams
from planner.llama_cpp.memory import kv_cache
from planner.model.hparams import Hparams

# llama-server b10434 without a model is 40 MiB resident (RSS, measured on Debian 12); slots and HTTP
# threads add less than 1 MiB each.
BASE_HEAP_BYTES = 48 * MIB
# Per vocabulary entry: the token's text twice, its scores, merges as pairs of ranks, the lookup tables.
# Measured: 128k tokens with 280k merges take about 60 MiB.
HEAP_BYTES_PER_TOKEN = 500
CHECKPOINT_SPACING_TOKENS = 8192  # llama-server --checkpoint-min-step
F32 = 4
MENTIONED_BYTES = 64 * MIB  # checkpoints below that are not worth a note


def heap_bytes(shape: ModelShape, hparams: Hparams, cparams: ContextParams) -> int:
    """Process, vocabulary, tensor records, and the output rows outside the graph."""
    output_row_bytes = cparams.sequences * hparams.vocab_size * F32
    sequence_bytes = cparams.sequences * MIB
    return BASE_HEAP_BYTES + vocabulary_bytes(shape, hparams) + output_row_bytes + sequence_bytes


def vocabulary_bytes(shape: ModelShape, hparams: Hparams) -> int:
    vocabulary_tokens = shape.array_lengths.get("tokenizer.ggml.tokens", hparams.vocab_size)
    return vocabulary_tokens * HEAP_BYTES_PER_TOKEN


def checkpoint_count(hparams: Hparams, cparams: ContextParams, flags: LlamaFlags) -> int:
    """Checkpoints that a slot can keep: one for each spacing of a full context, up to the limit."""
    limit = DEFAULT_CHECKPOINTS if flags.ctx_checkpoints is None else flags.ctx_checkpoints
    if kv_cache.checkpoint_bytes(hparams, cparams) == 0:
        return 0
    return min(limit, cparams.context_per_sequence // CHECKPOINT_SPACING_TOKENS + 2)


def checkpoint_bytes(hparams: Hparams, cparams: ContextParams, flags: LlamaFlags) -> int:
    """Of all slots together."""
    count = checkpoint_count(hparams, cparams, flags) * cparams.sequences
    return count * kv_cache.checkpoint_bytes(hparams, cparams)


def prompt_cache_bytes(hparams: Hparams, cparams: ContextParams, flags: LlamaFlags) -> int:
    """The most that saved prompts can take. Without a limit the server keeps at most as many tokens as its
    context has. Source: ``server_prompt_cache::update``."""
    if flags.cache_ram_mib == 0 or flags.is_pooled or not hparams.has_cache:
        return 0
    limit = DEFAULT_CACHE_RAM_MIB if flags.cache_ram_mib is None else flags.cache_ram_mib
    if limit < 0:
        sequences = max(1, cparams.context // cparams.context_per_sequence)
        return kv_cache.sequence_bytes(hparams, cparams) * sequences
    return limit * MIB


def overhead_notes(hparams: Hparams, cparams: ContextParams, flags: LlamaFlags) -> tuple[str, ...]:
    """The parts of the host's overhead that an owner can reduce, with the option for it."""
    notes = []
    cache_bytes = prompt_cache_bytes(hparams, cparams, flags)
    if cache_bytes:
        cache = "the prompt cache (--cache-ram 0 turns it off)"
        notes.append(f"up to {gib(cache_bytes)} of the host's overhead are {cache}")
    saved_bytes = checkpoint_bytes(hparams, cparams, flags)
    if saved_bytes >= MENTIONED_BYTES:
        count = checkpoint_count(hparams, cparams, flags) * cparams.sequences
        checkpoints = f"{count} context checkpoints (--ctx-checkpoints 0 turns them off)"
        notes.append(f"{gib(saved_bytes)} of the host's overhead are {checkpoints}")
    return tuple(notes)


def overhead_bytes(shape: ModelShape, hparams: Hparams, cparams: ContextParams, flags: LlamaFlags) -> int:
    return (
        heap_bytes(shape, hparams, cparams)
        + checkpoint_bytes(hparams, cparams, flags)
        + prompt_cache_bytes(hparams, cparams, flags)
    )
