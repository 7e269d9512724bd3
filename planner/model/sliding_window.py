"""Which layers look back over a window only, and how far.

Source: the ``load_swa_pattern`` calls of llama.cpp's ``src/models``.
"""

from planner.model.header import HeaderReader

# Layers in a period of sliding-window attention where the file does not say; and whether the full
# layer comes first in it. Source: the ``load_swa_pattern`` calls of llama.cpp's ``src/models``.
SWA_PERIODS: dict[str, tuple[int, bool]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "laguna": (4, True),
    "llama4": (4, False),
    "mellum": (4, False),
    "muse-glimmer": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
SWA_LISTED = frozenset(
    {"gemma4", "granite-swa", "maple", "mimo2", "spark2-5", "step35"}
)  # pattern in the file
SWA_WINDOWS = {"gemma2": 4096, "exaone4": 4096, "exaone-moe": 128, "llama4": 8192, "smallthinker": 4096}
EXAONE4_LARGE = 64  # blocks of the one size with windows, which the engine knows it by


def window(keys: HeaderReader, arch: str) -> int:
    if arch not in SWA_PERIODS and arch not in SWA_LISTED and arch not in {"lfm2", "lfm2moe"}:
        return 0
    if arch == "llama4":
        return 0 if keys.shape.get("attention.sliding_window") == 0 else SWA_WINDOWS[arch]
    if arch == "exaone4" and keys.one("block_count") != EXAONE4_LARGE:
        return 0
    return keys.one("attention.sliding_window", SWA_WINDOWS.get(arch, 0))


def sliding(keys: HeaderReader, arch: str, count: int, trunk: int) -> tuple[bool, ...]:
    pattern = keys.shape.get("attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) >= count:
        return tuple(bool(item) for item in pattern[:count])
    period, dense_first = SWA_PERIODS.get(arch, (0, False))
    if isinstance(pattern, int) and not isinstance(pattern, bool):
        period = pattern
    full_at = 0 if dense_first else period - 1
    return tuple(index < trunk and (period == 0 or index % period != full_at) for index in range(count))
