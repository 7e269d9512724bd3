"""How large the KV cache is that all sequences share, and what each of them is sure of."""

from math import ceil

from domain.units import MIB
from planner.vllm.memory.kv_blocks import KvBlockLayout

# Of its window that a sequence holds at a time where several are served at once: most are far from its end. A
# judgement, not a measurement; one whose blocks are taken waits, or is computed again.
WORKING_SHARE = 0.25
CACHE_HEADROOM = 1.1  # for prefixes of earlier requests, which stay cached while there is room


def pool_bytes(kv_blocks: KvBlockLayout, context_tokens: int, parallel: int) -> int:
    """One sequence at its full context, or the working share of all, whichever is more, plus headroom, in
    whole MiB."""
    one = kv_blocks.needed_bytes(context_tokens, 1)
    together = kv_blocks.needed_bytes(ceil(WORKING_SHARE * context_tokens), parallel)
    return ceil(max(one, together) * CACHE_HEADROOM / MIB) * MIB


def guaranteed_tokens(kv_blocks: KvBlockLayout, count_bytes: int, context_tokens: int, parallel: int) -> int:
    """Of each sequence while all of them grow alike."""
    return kv_blocks.max_context_tokens(count_bytes // parallel, context_tokens)


def max_context_tokens(kv_blocks: KvBlockLayout, count_bytes: int, limit_tokens: int, parallel: int) -> int:
    """The longest context whose pool takes at most ``count_bytes``, up to the limit; 0 if none."""
    low, high = 0, limit_tokens
    while low < high:
        middle = (low + high + 1) // 2
        holds = pool_bytes(kv_blocks, middle, parallel) <= count_bytes
        low, high = (middle, high) if holds else (low, middle - 1)
    return low
