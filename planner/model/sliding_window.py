"""Sliding-window attention: which layers attend within a window only, and how long it is.

Source: the ``load_swa_pattern`` calls of llama.cpp's ``src/models``.
"""

from domain.models.header import HeaderReader

# Layers in a period, where the file does not say, and whether the layer with full attention comes first in
# it.
SWA_PERIODS: dict[str, tuple[int, bool]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gemma-embedding": (6, False),
    "gpt-oss": (2, False),
    "laguna": (4, True),
    "llama4": (4, False),
    "mellum": (4, False),
    "modern-bert": (3, True),
    "muse-glimmer": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
SWA_PATTERN_IN_FILE = frozenset({"gemma4", "granite_swa", "maple", "mimo2", "spark2_5", "step35"})
SWA_WITHOUT_PERIOD = frozenset({"lfm2", "lfm2moe"})
DEFAULT_SWA_WINDOWS = {
    "gemma2": 4096,
    "exaone4": 4096,
    "exaone-moe": 128,
    "llama4": 8192,
    "smallthinker": 4096,
}
EXAONE4_LARGE_BLOCKS = 64  # the engine recognises the one size with windows by its block count


def window_tokens(header: HeaderReader, architecture: str) -> int:
    """Tokens of the window; 0 if all layers have full attention."""
    if not any(architecture in names for names in (SWA_PERIODS, SWA_PATTERN_IN_FILE, SWA_WITHOUT_PERIOD)):
        return 0
    if architecture == "llama4":
        return 0 if header.shape.get("attention.sliding_window") == 0 else DEFAULT_SWA_WINDOWS[architecture]
    if architecture == "exaone4" and header.count("block_count") != EXAONE4_LARGE_BLOCKS:
        return 0
    return header.count("attention.sliding_window", DEFAULT_SWA_WINDOWS.get(architecture, 0))


def sliding_layers(
    header: HeaderReader, architecture: str, blocks: int, main_blocks: int
) -> tuple[bool, ...]:
    """For each block whether it attends within the window only."""
    pattern = header.shape.get("attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) >= blocks:
        return tuple(bool(item) for item in pattern[:blocks])
    period, full_first = SWA_PERIODS.get(architecture, (0, False))
    if isinstance(pattern, int) and not isinstance(pattern, bool):
        period = pattern
    full_attention_at = 0 if full_first else period - 1
    return tuple(
        index < main_blocks and (period == 0 or index % period != full_attention_at)
        for index in range(blocks)
    )
