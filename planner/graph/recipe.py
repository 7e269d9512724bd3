"""What sets the graph of one architecture apart. Parts that a file's tensors show are not listed here.

Source: the ``graph`` constructors of llama.cpp ``src/models``.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """``scaled_rows``: the embedding is multiplied by an input of one value a row. ``scale_q``: Q is
    scaled after its rotation. ``gate``: ``softmax``, ``softmax_late`` (over the chosen) or ``sigmoid``.
    ``late_rows``: rows without output are dropped after the last layer, not inside it. ``keeps``: what
    the context may read later and is therefore never overwritten: ``norm``, ``hidden`` or ``both``.
    ``norm_after``: norms only behind attention and feed-forward. ``parallel``: attention and
    feed-forward read the same norm. ``known``: whether this is the engine's own graph."""

    scaled_rows: bool = False
    scale_q: bool = False
    rope: bool = True
    gate: str = "softmax"
    norm_weights: bool = True
    late_rows: bool = False
    keeps: str = "norm"
    split_q_gate: bool = False
    capped_logits: bool = False
    capped_scores: bool = False
    parallel: bool = False
    gated: bool = True
    weight_first: bool = False
    rope_before_norm: bool = False
    scaled_residual: bool = False
    scaled_logits: bool = False
    scaled_embedding: bool = False
    mixed_inputs: bool = False
    known: bool = True


PLAIN = Recipe()
RECIPES: dict[str, Recipe] = {
    "llama": PLAIN,
    "mistral3": PLAIN,
    "qwen2": PLAIN,
    "qwen3": PLAIN,
    "qwen3moe": PLAIN,
    "qwen2moe": Recipe(norm_weights=False),
    "phi3": PLAIN,
    "gpt-oss": Recipe(gate="softmax_late", norm_weights=False, late_rows=True, keeps="both"),
    "gemma3": Recipe(scaled_rows=True, scale_q=True),
    "gemma2": Recipe(scale_q=True, scaled_rows=True, capped_logits=True, capped_scores=True),
    "deepseek2": Recipe(norm_weights=False, keeps="hidden"),
    "qwen3next": Recipe(late_rows=True, keeps="hidden", split_q_gate=True),
}


def recipe(architecture: str) -> Recipe:
    """A plain transformer where the architecture is not known."""
    return RECIPES.get(architecture, Recipe(known=False))
