"""What sets the graph of one architecture apart. Parts that a file's tensors show are not listed here.

Source: the ``graph`` constructors of llama.cpp ``src/models``.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """``scaled_rows``: the embedding is multiplied by an input of one value a row. ``scale_q``: Q is
    scaled after its rotation. ``gate``: ``softmax``, ``softmax_late`` (over the chosen) or ``sigmoid``,
    where the header does not say. ``late_rows``: rows without output are dropped after the last layer,
    not inside it. ``keeps``: what may be read later and is never overwritten: ``norm`` or ``both``, the
    last hidden state, too. ``weights_first``: experts get their input weighted. ``still_every``: each
    so manieth layer does not rotate; ``0`` all do. ``single_part``: a block is a mixer or a
    feed-forward, not both. ``known``: whether this is the engine's own graph."""

    scaled_rows: bool = False
    scaled_embedding: bool = False
    scaled_residual: bool = False
    scaled_logits: bool = False
    scale_q: bool = False
    rotates: bool = True
    still_every: int = 0
    normed_after_rotation: bool = False
    gate: str = "softmax"
    norm_weights: bool = True
    weights_first: bool = False
    late_rows: bool = False
    keeps: str = "norm"
    split_q_gate: bool = False
    capped_logits: bool = False
    capped_scores: bool = False
    single_part: bool = False
    known: bool = True


PLAIN = Recipe()
RECIPES: dict[str, Recipe] = {
    "llama": PLAIN,
    "mistral3": PLAIN,
    "qwen2": PLAIN,
    "qwen3": PLAIN,
    "qwen3moe": PLAIN,
    "seed_oss": PLAIN,
    "qwen2moe": Recipe(norm_weights=False),
    "phi3": Recipe(scale_q=True),
    "gpt-oss": Recipe(gate="softmax_late", norm_weights=False, late_rows=True, keeps="both"),
    "gemma3": Recipe(scaled_rows=True, scale_q=True),
    "gemma2": Recipe(scaled_embedding=True, scale_q=True, capped_logits=True, capped_scores=True),
    "deepseek2": Recipe(norm_weights=False),
    "glm4moe": Recipe(gate="sigmoid"),
    "minimax-m2": Recipe(gate="sigmoid"),
    "llama4": Recipe(
        gate="sigmoid", norm_weights=False, weights_first=True, still_every=4, normed_after_rotation=True
    ),
    "granite": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True),
    "granitemoe": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True),
    "granitehybrid": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True, rotates=False),
    "qwen3next": Recipe(late_rows=True, split_q_gate=True),
    "nemotron_h_moe": Recipe(rotates=False, gate="sigmoid", late_rows=True, single_part=True),
    "nemotron_h": Recipe(rotates=False, late_rows=True, single_part=True),
}


def recipe(architecture: str) -> Recipe:
    """A plain transformer where the architecture is not known."""
    return RECIPES.get(architecture, Recipe(known=False))
