"""What sets the graph of one architecture apart. Parts that a file's tensors show are not listed here.

Source: the ``graph`` constructors of llama.cpp ``src/models``.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Differences from a Llama's graph. ``known``: whether this is the engine's own graph."""

    # The embedding, and what is added to the stream.
    scaled_rows: bool = False  # by an input of one value a row
    scaled_embedding: bool = False
    scaled_residual: bool = False
    stream_first: str = ""  # of an addition's two sources: in the "second" part or in "both"
    stacked: bool = False  # a stream of several parts, as in Gemma 3n
    own_vectors: bool = False  # blocks of Gemma 4

    # Norms.
    centred: bool = False  # they subtract the mean
    norms_behind: bool = False  # a part without a norm in the file has none before it
    normed_after_rotation: bool = False
    normed_values: bool = False

    # Attention.
    scale_q: bool = False  # after its rotation
    split_q_gate: bool = False
    capped_scores: bool = False
    rotates: bool = True
    still_every: int = 0  # each so manieth layer does not rotate
    scaled_still: bool = False  # and is scaled by an input instead
    still_wide: bool = False  # where there are windows, only their layers rotate

    # The order of parts.
    parallel: bool = False  # attention and feed-forward read the same norm
    single_part: bool = False  # a block is a mixer or a feed-forward
    two_mixers: bool = False  # attention and Mamba in one block

    # Experts.
    gate: str = "softmax"  # or "softmax_late" (over the chosen) or "sigmoid", unless the header says it
    norm_weights: bool = True
    weights_first: bool = False  # experts get their input weighted
    early_router: bool = False  # they are chosen by what came into the block
    sparse_layers: int = 0  # first layers that keep their largest gates only

    # The end: rows without output are dropped inside the last layer, unless said otherwise.
    rows_behind_norm: bool = False  # behind the norm of the attention's result
    late_rows: bool = False  # behind the last layer
    keeps: str = "norm"  # what is never overwritten: or "both", the last hidden state, too
    capped_logits: bool = False
    scaled_logits: bool = False

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
    "phi3": Recipe(scale_q=True, stream_first="second"),
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
        gate="sigmoid",
        norm_weights=False,
        weights_first=True,
        still_every=4,
        scaled_still=True,
        normed_after_rotation=True,
    ),
    "granite": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True),
    "granitemoe": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True),
    "granitehybrid": Recipe(scaled_embedding=True, scaled_residual=True, scaled_logits=True, rotates=False),
    "qwen3next": Recipe(late_rows=True, split_q_gate=True),
    "qwen35": Recipe(late_rows=True, split_q_gate=True),
    "qwen35moe": Recipe(late_rows=True, split_q_gate=True),
    "nemotron_h_moe": Recipe(rotates=False, gate="sigmoid", late_rows=True, single_part=True),
    "qwen2vl": PLAIN,
    "smollm3": Recipe(still_every=4),
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
    "phimoe": Recipe(scale_q=True, stream_first="second"),
    "internlm2": PLAIN,
    "arcee": PLAIN,
    "apertus": PLAIN,
    "olmoe": PLAIN,
    "gemma": PLAIN,
    "mimo2": PLAIN,
    "step35": PLAIN,
    "afmoe": Recipe(rows_behind_norm=True, scaled_embedding=True, still_wide=True),
    "deepseek": PLAIN,
    "exaone-moe": PLAIN,
    "mistral4": PLAIN,
    "grovemoe": PLAIN,
    "qwen3vl": PLAIN,
    "qwen3vlmoe": PLAIN,
    "kimi-linear": Recipe(rotates=False),
    "lfm2": Recipe(stream_first="both"),
    "lfm2moe": Recipe(stream_first="both"),
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
    """``known`` is false where nobody has looked at the architecture's graph."""
    return RECIPES.get(architecture, Recipe(known=False))
