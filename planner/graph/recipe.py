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
    feed-forward, not both. ``normed_values``: V is normed, without a weight. ``stacked``: the stream has
    several parts, as in Gemma 3n, and the first ``sparse_layers`` keep their largest gates only.
    ``own_vectors``: blocks of Gemma 4. ``centred``: norms subtract the mean. ``parallel``: attention and
    feed-forward read the same norm. ``norms_behind``: a part without a norm before it has none there.
    ``two_mixers``: attention and Mamba in one block. ``early_router``: experts are chosen by what came
    into the block. ``still_wide``: where there are windows, only their layers rotate. ``stream_first``: the
    stream is the first of the two that are added. ``known``: whether this is the engine's own graph."""

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
    normed_values: bool = False
    stacked: bool = False
    sparse_layers: int = 0
    own_vectors: bool = False
    centred: bool = False
    parallel: bool = False
    norms_behind: bool = False
    two_mixers: bool = False
    early_router: bool = False
    still_wide: bool = False
    stream_first: bool = False
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
    "gemma3n": Recipe(
        scaled_rows=True, normed_values=True, stacked=True, sparse_layers=10, capped_logits=True
    ),
    "gemma4": Recipe(
        scaled_rows=True, normed_values=True, own_vectors=True, late_rows=True, capped_logits=True
    ),
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
    "qwen35": Recipe(late_rows=True, split_q_gate=True),
    "qwen35moe": Recipe(late_rows=True, split_q_gate=True),
    "nemotron_h_moe": Recipe(rotates=False, gate="sigmoid", late_rows=True, single_part=True),
    "qwen2vl": PLAIN,
    "smollm3": Recipe(),
    "exaone": PLAIN,
    "chatglm": PLAIN,
    "glm4": PLAIN,
    "hunyuan-moe": PLAIN,
    "hunyuan-dense": PLAIN,
    "ernie4_5-moe": PLAIN,
    "ernie4_5": PLAIN,
    "dots1": PLAIN,
    "bailingmoe": PLAIN,
    "bailingmoe2": PLAIN,
    "phimoe": PLAIN,
    "internlm2": PLAIN,
    "arcee": PLAIN,
    "apertus": PLAIN,
    "olmoe": PLAIN,
    "gemma": PLAIN,
    "mimo2": PLAIN,
    "step35": PLAIN,
    "afmoe": PLAIN,
    "deepseek": PLAIN,
    "exaone-moe": PLAIN,
    "mistral4": PLAIN,
    "grovemoe": PLAIN,
    "qwen3vl": PLAIN,
    "qwen3vlmoe": PLAIN,
    "kimi-linear": Recipe(rotates=False),
    "lfm2": Recipe(stream_first=True),
    "lfm2moe": Recipe(stream_first=True),
    "falcon-h1": Recipe(two_mixers=True),
    "mamba": PLAIN,
    "mamba2": PLAIN,
    "jamba": Recipe(rotates=False, norm_weights=False),
    "deci": PLAIN,
    "exaone4": Recipe(norms_behind=True, still_wide=True),
    "olmo2": Recipe(norms_behind=True),
    "cohere2": Recipe(centred=True, parallel=True, scaled_logits=True, still_wide=True),
    "command-r": Recipe(centred=True, parallel=True, scaled_logits=True),
    "stablelm": Recipe(centred=True),
    "starcoder2": Recipe(centred=True),
    "nemotron": Recipe(centred=True),
    "dbrx": Recipe(centred=True),
    "smallthinker": Recipe(early_router=True, still_wide=True),
    "nemotron_h": Recipe(rotates=False, late_rows=True, single_part=True),
}


def recipe(architecture: str) -> Recipe:
    """A plain transformer where the architecture is not known."""
    return RECIPES.get(architecture, Recipe(known=False))
