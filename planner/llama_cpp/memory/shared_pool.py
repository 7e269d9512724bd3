"""How many tokens of cache several sequences share with ``--kv-unified``."""

from math import ceil

# A judgement: most sequences are far from the end of their window at any time. Two of them may reach it.
WORKING_SHARE = 0.25
FULL_WINDOWS = 2
# --kv-unified is of July 2025 (ggml-org/llama.cpp#14363), which was before this build.
FIRST_BUILD = 6000


def shares_pool(parallel: int, build: int | None) -> bool:
    """Two sequences have a window each, and so has every one of a build that may lack the option."""
    return parallel > FULL_WINDOWS and (build is None or build >= FIRST_BUILD)


def cache_tokens(context_tokens: int, parallel: int, *, is_shared: bool) -> int:
    """Of all sequences together: two full windows if they share, or a quarter of all if that is more."""
    windows = max(FULL_WINDOWS, WORKING_SHARE * parallel) if is_shared else parallel
    return ceil(windows * context_tokens)
