"""Which ggml type each tensor has in a quant of a given name: the mixes of llama.cpp's quantizer.

Source: llama.cpp ``src/llama-quant.cpp``, simplified to the rules that move bytes; what remains is
closed by ``blueprint`` against the published size.
"""

import re
from dataclasses import dataclass, field

from domain.ggml import BY_NAME

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
class Mix:
    """``more`` is the type of attn_v and ffn_down in the blocks that get more bits; ``experts``
    overrides the expert tensors; ``output`` is also a tied input table's."""

    base: str
    output: str = "Q6_K"
    more: str = ""
    experts: str = ""
    narrow: dict[str, str] = field(default_factory=lambda: NARROW)


def _plain(name: str) -> Mix:
    return Mix(name, output=name)


MIXES: dict[str, Mix] = {
    "Q2_K": Mix("Q2_K", more="Q3_K"),
    "Q3_K_S": Mix("Q3_K"),
    "Q3_K_M": Mix("Q3_K", more="Q5_K"),
    "Q3_K_L": Mix("Q3_K", more="Q5_K"),
    "Q4_0": Mix("Q4_0"),
    "Q4_1": Mix("Q4_1", output="Q8_0"),
    "Q4_K_S": Mix("Q4_K"),
    "Q4_K_M": Mix("Q4_K", more="Q6_K"),
    "Q5_0": Mix("Q5_0"),
    "Q5_1": Mix("Q5_1"),
    "Q5_K_S": Mix("Q5_K"),
    "Q5_K_M": Mix("Q5_K", more="Q6_K"),
    "Q6_K": Mix("Q6_K"),
    "Q8_0": _plain("Q8_0"),
    "Q8_K": _plain("Q8_0"),
    "IQ4_XS": Mix("IQ4_XS"),
    "IQ4_NL": Mix("IQ4_NL"),
    "IQ3": Mix("IQ3_S"),
    "IQ3_XXS": Mix("IQ3_XXS"),
    "IQ2": Mix("IQ2_S", output="Q5_K"),
    "IQ2_XXS": Mix("IQ2_XXS", output="Q5_K"),
    "IQ1": Mix("IQ1_S", output="Q5_K"),
    "MXFP4": Mix("Q8_0", output="Q8_0", experts="MXFP4"),
    "F16": _plain("F16"),
    "BF16": _plain("BF16"),
    "F32": _plain("F32"),
}
# Published only with MXFP4 experts, whatever the quant is called: a requantized expert would be larger.
NATIVE_EXPERTS = {"gpt-oss": "MXFP4"}


def mix_of(quant: str, architecture: str) -> Mix:
    """The mix that comes nearest to ``quant``: ``UD-Q4_K_XL`` is taken for Q4_K_M."""
    plain = re.sub(r"^(UD-|mix-)", "", quant.upper()).replace("MXFP4_MOE", "MXFP4")
    found = MIXES.get(plain) or MIXES.get(re.sub(r"_(XL|L)$", "_M", plain))
    if found is None:
        stem = max((name for name in MIXES if plain.startswith(name.split("_M")[0])), key=len, default="")
        found = MIXES.get(stem) or MIXES["Q4_K_M"]
    experts = NATIVE_EXPERTS.get(architecture)
    return Mix(found.base, found.output, found.more, experts) if experts else found


def type_of(name: str, dims: tuple[int, ...], mix: Mix, *, blocks: int, tied: bool) -> str:
    """The ggml type of one tensor. Norms, biases, routers and convolutions stay F32."""
    if is_kept(name, dims):
        return "F32"
    part = name.split(".")[-2]
    if part.endswith("_exps") and mix.experts:
        kind = mix.experts
    elif part == "output" or (part == "token_embd" and tied):
        kind = mix.output
    elif mix.more and part in _MORE and _gets_more(int(name.split(".")[1]), blocks):
        kind = mix.more
    else:
        kind = mix.base
    return fitting(kind, dims[0], mix)


_MORE = {"attn_v", "ffn_down", "ffn_down_exps", "ffn_down_shexp"}
_F32_PARTS = {"ffn_gate_inp", "ffn_gate_inp_shexp", "ssm_conv1d", "ssm_norm"}


def is_kept(name: str, dims: tuple[int, ...]) -> bool:
    """Whether no quantizer touches this tensor."""
    parts = name.split(".")
    return len(dims) == 1 or parts[-1] != "weight" or parts[-2] in _F32_PARTS


def fitting(kind: str, row: int, mix: Mix) -> str:
    """``kind``, or what stands in for it where ``row`` values are no whole number of blocks."""
    for choice in (kind, mix.narrow.get(kind, "Q8_0")):
        if row % BY_NAME[choice].block == 0:
            return choice
    return "F16"


def _gets_more(block: int, blocks: int) -> bool:
    eighth = blocks // 8
    return block < eighth or block >= 7 * blocks // 8 or (block - eighth) % 3 == 2
