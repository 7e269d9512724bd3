"""What the host's RAM holds beside tensors: the engine's heap, prompt cache, checkpoints, output rows.

Weights on the host count once, mapped or repacked: a repacked copy is the engine's own memory, and the
pages of the file that it was made from go when RAM is short.
"""

from domain.model import ModelShape
from domain.plan import LlamaFlags
from domain.units import MIB, gib
from planner.llama_cpp import kv_cache
from planner.llama_cpp.context_params import DEFAULT_CACHE_RAM_MIB, DEFAULT_CHECKPOINTS, ContextParams
from planner.model.hparams import Hparams

# llama-server b10434 without a model is 40 MiB resident (RSS, seen on Debian 12); slots and HTTP
# threads add less than 1 MiB each.
BASE_HEAP_BYTES = 48 * MIB
# Per vocabulary entry: the token's text twice, its scores, merges as pairs of ranks, the lookup tables.
# Seen: 128k tokens with 280k merges take about 60 MiB.
HEAP_BYTES_PER_TOKEN = 500
CHECKPOINT_SPACING_TOKENS = 8192  # llama-server --checkpoint-min-step
F32 = 4
TOLD_BYTES = 64 * MIB


def heap_bytes(shape: ModelShape, hparams: Hparams, run: ContextParams) -> int:
    """Process, vocabulary, tensor records, and the output rows that live outside the graph."""
    vocabulary = shape.array_lengths.get("tokenizer.ggml.tokens", hparams.vocab)
    rows = run.sequences * hparams.vocab * F32
    return BASE_HEAP_BYTES + vocabulary * HEAP_BYTES_PER_TOKEN + rows + run.sequences * MIB


def checkpoints(hparams: Hparams, run: ContextParams, flags: LlamaFlags) -> int:
    """How many checkpoints a slot can keep: the limit, and a full context's worth of spacings."""
    limit = DEFAULT_CHECKPOINTS if flags.ctx_checkpoints is None else flags.ctx_checkpoints
    if kv_cache.checkpoint_bytes(hparams, run) == 0:
        return 0
    return min(limit, run.context_per_sequence // CHECKPOINT_SPACING_TOKENS + 2)


def checkpoint_bytes(hparams: Hparams, run: ContextParams, flags: LlamaFlags) -> int:
    """Of all slots together."""
    each = kv_cache.checkpoint_bytes(hparams, run)
    return checkpoints(hparams, run, flags) * each * run.sequences


def prompt_cache_bytes(hparams: Hparams, run: ContextParams, flags: LlamaFlags) -> int:
    """The most that saved prompts can take. Without a limit the server keeps at most as many tokens
    as its context has. Source: ``server_prompt_cache::update``."""
    if flags.cache_ram_mib == 0:
        return 0
    limit = DEFAULT_CACHE_RAM_MIB if flags.cache_ram_mib is None else flags.cache_ram_mib
    if limit < 0:
        return kv_cache.sequence_bytes(hparams, run) * max(1, run.context // run.context_per_sequence)
    return limit * MIB


def words(hparams: Hparams, run: ContextParams, flags: LlamaFlags) -> tuple[str, ...]:
    """The parts of the host's overhead that an owner can turn down, with what turns them."""
    found = []
    cache = prompt_cache_bytes(hparams, run, flags)
    if cache:
        found.append(
            f"up to {gib(cache)} of the host's overhead are the prompt cache (--cache-ram 0 ends it)"
        )
    kept = checkpoint_bytes(hparams, run, flags)
    if kept >= TOLD_BYTES:
        count = checkpoints(hparams, run, flags) * run.sequences
        ends = "--ctx-checkpoints 0 ends them"
        found.append(f"{gib(kept)} of the host's overhead are {count} context checkpoints ({ends})")
    return tuple(found)


def overhead_bytes(shape: ModelShape, hparams: Hparams, run: ContextParams, flags: LlamaFlags) -> int:
    return (
        heap_bytes(shape, hparams, run)
        + checkpoint_bytes(hparams, run, flags)
        + prompt_cache_bytes(hparams, run, flags)
    )
