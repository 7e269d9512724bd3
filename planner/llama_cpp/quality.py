"""How much a GGUF quant loses against the original weights."""

from domain.model import ResolvedModel
from planner.choose.candidates import UNKNOWN_LOSS

# Perplexity that a quant adds on Llama-3-8B. Source: the table in llama.cpp ``tools/quantize``; IQ types are
# placed between their neighbours of the same bits per weight (its README lists sizes only).
ADDED_PERPLEXITY = {
    "F32": 0.0,
    "BF16": 0.0,
    "F16": 0.002,
    "Q8_0": 0.0026,
    "Q8_K_XL": 0.0026,
    "Q6_K": 0.0217,
    "Q5_K_M": 0.0569,
    "Q5_K_S": 0.1049,
    "Q5_1": 0.1062,
    "Q5_0": 0.1316,
    "Q4_K_M": 0.1754,
    "IQ4_NL": 0.25,
    "Q4_K_S": 0.2689,
    "IQ4_XS": 0.29,
    "Q4_1": 0.4511,
    "Q4_0": 0.4685,
    "Q3_K_L": 0.5562,
    "IQ3_M": 0.62,
    "Q3_K_M": 0.6569,
    "IQ3_S": 0.75,
    "IQ3_XS": 0.95,
    "IQ3_XXS": 1.4,
    "Q3_K_S": 1.6321,
    "IQ2_M": 2.4,
    "IQ2_S": 2.9,
    "Q2_K_S": 3.1836,
    "Q2_K": 3.5199,
    "IQ2_XS": 3.5,
    "IQ2_XXS": 4.5,
    "IQ1_M": 7.0,
    "IQ1_S": 9.0,
}
# Quants of a model whose experts are MXFP4 from the start change only the rest: assumed to lose a tenth.
NATIVE_SHARE = 0.5
NATIVE_LOSS_FACTOR = 0.1


def quality_loss(model: ResolvedModel) -> float:
    name = base_quant(model.weights.quant)
    if is_native_mxfp4(model):
        return NATIVE_LOSS_FACTOR * ADDED_PERPLEXITY.get(name, 0.0)
    return ADDED_PERPLEXITY.get(name, UNKNOWN_LOSS)


def base_quant(quant: str) -> str:
    """``UD-Q4_K_XL`` -> ``Q4_K_M``: dynamic quants are no worse than the plain mix of their bits."""
    name = quant.upper().removeprefix("UD-").removeprefix("I1-")
    if name.endswith("_K_XL"):
        bits = name[:2]
        return {"Q8": "Q8_0", "Q6": "Q6_K", "Q2": "Q2_K"}.get(bits, f"{bits}_K_M")
    return "Q2_K" if name == "Q2_K_L" else "Q6_K" if name == "Q6_K_L" else name


def is_native_mxfp4(model: ResolvedModel) -> bool:
    """Whether most bytes are MXFP4, the type that such models were trained in."""
    native = sum(tensor.size_bytes for tensor in model.shape.tensors if tensor.type == "MXFP4")
    return native > NATIVE_SHARE * sum(tensor.size_bytes for tensor in model.shape.tensors)
