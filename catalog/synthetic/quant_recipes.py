"""Which ggml type each tensor has in a quant of a given name: the recipes of llama.cpp's quantizer.

Source: llama.cpp ``src/llama-quant.cpp``, reduced to the rules that matter for size; ``header`` adjusts the
rest to the published size.
"""

import re
from dataclasses import dataclass, field, replace

from domain.models.ggml import BY_NAME

# Where a row is no multiple of 256 values: the 32-value type of the nearest width.
NARROW = {
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS", "Q2_K", "Q3_K"),
        "IQ4_NL",
    ),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """``more`` is the type of attn_v and ffn_down in the blocks that get more bits, ``experts`` that of the
    expert tensors if it differs; ``output`` is also the type of tied embeddings."""

    base: str
    output: str = "Q6_K"
    more: str = ""
    experts: str = ""
    narrow: dict[str, str] = field(default_factory=lambda: NARROW)


def _plain(name: str) -> Recipe:
    return Recipe(name, output=name)


RECIPES: dict[str, Recipe] = {
    "Q2_K": Recipe("Q2_K", more="Q3_K"),
    "Q3_K_S": Recipe("Q3_K"),
    "Q3_K_M": Recipe("Q3_K", more="Q5_K"),
    "Q3_K_L": Recipe("Q3_K", more="Q5_K"),
    "Q4_0": Recipe("Q4_0"),
    "Q4_1": Recipe("Q4_1", output="Q8_0"),
    "Q4_K_S": Recipe("Q4_K"),
    "Q4_K_M": Recipe("Q4_K", more="Q6_K"),
    "Q5_0": Recipe("Q5_0"),
    "Q5_1": Recipe("Q5_1"),
    "Q5_K_S": Recipe("Q5_K"),
    "Q5_K_M": Recipe("Q5_K", more="Q6_K"),
    "Q6_K": Recipe("Q6_K"),
    "Q8_0": _plain("Q8_0"),
    "Q8_K": _plain("Q8_0"),
    "IQ4_XS": Recipe("IQ4_XS"),
    "IQ4_NL": Recipe("IQ4_NL"),
    "IQ3": Recipe("IQ3_S"),
    "IQ3_XXS": Recipe("IQ3_XXS"),
    "IQ2": Recipe("IQ2_S", output="Q5_K"),
    "IQ2_XXS": Recipe("IQ2_XXS", output="Q5_K"),
    "IQ1": Recipe("IQ1_S", output="Q5_K"),
    "MXFP4": Recipe("Q8_0", output="Q8_0", experts="MXFP4"),
    "F16": _plain("F16"),
    "BF16": _plain("BF16"),
    "F32": _plain("F32"),
}
# Published only with MXFP4 experts, whatever the name of the quant: a requantized expert would be larger.
NATIVE_EXPERTS = {"gpt-oss": "MXFP4"}


def recipe_of(quant: str, architecture: str) -> Recipe:
    """The one nearest to ``quant``: ``UD-Q4_K_XL`` is taken for Q4_K_M."""
    plain = re.sub(r"^(UD-|mix-)", "", quant.upper()).replace("MXFP4_MOE", "MXFP4")
    recipe = RECIPES.get(plain) or RECIPES.get(re.sub(r"_(XL|L)$", "_M", plain))
    if recipe is None:
        stem = max((name for name in RECIPES if plain.startswith(name.split("_M")[0])), key=len, default="")
        recipe = RECIPES.get(stem) or RECIPES["Q4_K_M"]
    experts = NATIVE_EXPERTS.get(architecture)
    return replace(recipe, experts=experts) if experts else recipe


def type_of(name: str, dims: tuple[int, ...], recipe: Recipe, *, blocks: int, tied: bool) -> str:
    """The ggml type of one tensor. Norms, biases, routers and convolutions stay F32."""
    if is_unquantized(name, dims):
        return "F32"
    part = name.split(".")[-2]
    if part.endswith("_exps") and recipe.experts:
        kind = recipe.experts
    elif part == "output" or (part == "token_embd" and tied):
        kind = recipe.output
    elif recipe.more and part in _MORE and _gets_more(int(name.split(".")[1]), blocks):
        kind = recipe.more
    else:
        kind = recipe.base
    return type_for_row(kind, dims[0], recipe)


_MORE = {"attn_v", "ffn_down", "ffn_down_exps", "ffn_down_shexp"}
_F32_PARTS = {"ffn_gate_inp", "ffn_gate_inp_shexp", "ssm_conv1d", "ssm_norm", "position_embd", "token_types"}


def is_unquantized(name: str, dims: tuple[int, ...]) -> bool:
    """Whether no quantizer touches this tensor."""
    parts = name.split(".")
    return len(dims) == 1 or parts[-1] != "weight" or parts[-2] in _F32_PARTS


def type_for_row(kind: str, row: int, recipe: Recipe) -> str:
    """``kind``, or its replacement if ``row`` values are not a whole number of blocks."""
    for choice in (kind, recipe.narrow.get(kind, "Q8_0")):
        if row % BY_NAME[choice].block == 0:
            return choice
    return "F16"


def _gets_more(block: int, blocks: int) -> bool:
    eighth = blocks // 8
    return block < eighth or block >= 7 * blocks // 8 or (block - eighth) % 3 == 2
