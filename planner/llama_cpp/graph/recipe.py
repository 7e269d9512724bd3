"""How the graph of each architecture differs from a Llama's. What a file's tensors show is not listed here.

Source: the ``graph`` constructors of llama.cpp ``src/models``.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Differences from a Llama's graph. ``is_known``: whether this is the engine's own graph."""

    # The embedding and the residual.
    scales_embedding_rows: bool = False  # by an input with one value per row
    scales_embedding: bool = False
    scales_residual: bool = False
    residual_first: str = ""  # the residual is the first source of the addition: "second" part, or "both"
    has_altup: bool = False  # several parallel residuals, as in Gemma 3n
    has_gemma4_blocks: bool = False

    # Norms.
    uses_layer_norm: bool = False  # norms subtract the mean
    has_post_norms_only: bool = False  # a part whose norm the file lacks has none
    norms_after_rope: bool = False
    norms_values: bool = False

    # Attention.
    scales_query: bool = False  # after RoPE
    has_query_gate: bool = False
    caps_attention_scores: bool = False
    uses_rope: bool = True
    no_rope_every: int = 0  # every n-th layer has no RoPE
    scales_no_rope_layers: bool = False  # and is scaled by an input instead
    rope_in_windows_only: bool = False  # if there are sliding windows, only their layers have RoPE

    # The order of parts.
    parallel_residual: bool = False  # attention and feed-forward read the same norm
    single_part_blocks: bool = False  # a block is either a mixer or a feed-forward
    parallel_mixers: bool = False  # attention and Mamba in one block

    # Experts. ``expert_gating``: "softmax", "softmax_late" (over the selected) or "sigmoid", if the header
    # has none.
    expert_gating: str = "softmax"
    norms_expert_weights: bool = True
    weights_expert_input: bool = False  # the experts' input is weighted, not their output
    routes_block_input: bool = False  # the router reads the input of the block
    sparse_activation_layers: int = 0  # first layers that keep only their largest gates

    # The end. By default rows without an output are dropped inside the last block.
    selects_rows_after_post_norm: bool = False  # after the norm of the attention's result
    selects_rows_after_blocks: bool = False
    kept_outputs: str = "norm"  # never overwritten: the last "norm", or "both", with the last hidden state
    caps_logits: bool = False
    scales_logits: bool = False

    is_known: bool = True


PLAIN = Recipe()
RECIPES: dict[str, Recipe] = {
    "llama": PLAIN,
    "mistral3": PLAIN,
    "qwen2": PLAIN,
    "qwen3": PLAIN,
    "qwen3moe": PLAIN,
    "seed_oss": PLAIN,
    "qwen2moe": Recipe(norms_expert_weights=False),
    "phi3": Recipe(scales_query=True, residual_first="second"),
    "gpt-oss": Recipe(
        expert_gating="softmax_late",
        norms_expert_weights=False,
        selects_rows_after_blocks=True,
        kept_outputs="both",
    ),
    "gemma3": Recipe(scales_embedding_rows=True, scales_query=True),
    "gemma3n": Recipe(
        scales_embedding_rows=True,
        norms_values=True,
        has_altup=True,
        sparse_activation_layers=10,
        caps_logits=True,
    ),
    "gemma4": Recipe(
        scales_embedding_rows=True,
        norms_values=True,
        has_gemma4_blocks=True,
        selects_rows_after_blocks=True,
        caps_logits=True,
    ),
    "gemma2": Recipe(scales_embedding=True, scales_query=True, caps_logits=True, caps_attention_scores=True),
    "deepseek2": Recipe(norms_expert_weights=False),
    "glm4moe": Recipe(expert_gating="sigmoid"),
    "minimax-m2": Recipe(expert_gating="sigmoid"),
    "llama4": Recipe(
        expert_gating="sigmoid",
        norms_expert_weights=False,
        weights_expert_input=True,
        no_rope_every=4,
        scales_no_rope_layers=True,
        norms_after_rope=True,
    ),
    "granite": Recipe(scales_embedding=True, scales_residual=True, scales_logits=True),
    "granitemoe": Recipe(scales_embedding=True, scales_residual=True, scales_logits=True),
    "granitehybrid": Recipe(scales_embedding=True, scales_residual=True, scales_logits=True, uses_rope=False),
    "qwen3next": Recipe(selects_rows_after_blocks=True, has_query_gate=True),
    "qwen35": Recipe(selects_rows_after_blocks=True, has_query_gate=True),
    "qwen35moe": Recipe(selects_rows_after_blocks=True, has_query_gate=True),
    "nemotron_h_moe": Recipe(
        uses_rope=False, expert_gating="sigmoid", selects_rows_after_blocks=True, single_part_blocks=True
    ),
    "qwen2vl": PLAIN,
    "smollm3": Recipe(no_rope_every=4),
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
    "phimoe": Recipe(scales_query=True, residual_first="second"),
    "internlm2": PLAIN,
    "arcee": PLAIN,
    "apertus": PLAIN,
    "olmoe": PLAIN,
    "gemma": PLAIN,
    "mimo2": PLAIN,
    "step35": PLAIN,
    "afmoe": Recipe(selects_rows_after_post_norm=True, scales_embedding=True, rope_in_windows_only=True),
    "deepseek": PLAIN,
    "exaone-moe": PLAIN,
    "mistral4": PLAIN,
    "grovemoe": PLAIN,
    "qwen3vl": PLAIN,
    "qwen3vlmoe": PLAIN,
    "kimi-linear": Recipe(uses_rope=False),
    "lfm2": Recipe(residual_first="both"),
    "lfm2moe": Recipe(residual_first="both"),
    "falcon-h1": Recipe(parallel_mixers=True),
    "mamba": PLAIN,
    "mamba2": PLAIN,
    "jamba": Recipe(uses_rope=False, norms_expert_weights=False),
    "deci": PLAIN,
    "exaone4": Recipe(has_post_norms_only=True, rope_in_windows_only=True),
    "olmo2": Recipe(has_post_norms_only=True),
    "cohere2": Recipe(
        uses_layer_norm=True, parallel_residual=True, scales_logits=True, rope_in_windows_only=True
    ),
    "command-r": Recipe(uses_layer_norm=True, parallel_residual=True, scales_logits=True),
    "stablelm": Recipe(uses_layer_norm=True),
    "starcoder2": Recipe(uses_layer_norm=True),
    "nemotron": Recipe(uses_layer_norm=True),
    "dbrx": Recipe(uses_layer_norm=True),
    "smallthinker": Recipe(routes_block_input=True, rope_in_windows_only=True),
    "nemotron_h": Recipe(uses_rope=False, selects_rows_after_blocks=True, single_part_blocks=True),
    # Encoders, whose graphs are in ``text_encoder``.
    "bert": Recipe(uses_layer_norm=True),
    "nomic-bert": Recipe(uses_layer_norm=True),
    "nomic-bert-moe": Recipe(uses_layer_norm=True, norms_expert_weights=False),
    "jina-bert-v2": Recipe(uses_layer_norm=True),
    "jina-bert-v3": Recipe(uses_layer_norm=True),
    "modern-bert": Recipe(uses_layer_norm=True),
    "neo-bert": PLAIN,
    "eurobert": PLAIN,
    "gemma-embedding": Recipe(scales_embedding_rows=True, scales_query=True),
}


def recipe(architecture: str) -> Recipe:
    """``is_known`` is false for an architecture without a row."""
    return RECIPES.get(architecture, Recipe(is_known=False))
