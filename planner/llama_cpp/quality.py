"""How much a GGUF quant loses against the original weights, by the types of its tensors."""

import re
from collections.abc import Iterable
from math import exp, log, prod

from domain.models.model import ModelShape, ResolvedModel, Tensor
from planner.choose.sensitivity import loss_percent
from planner.identity_cache import cached_by_identity

# What Llama-3-8B loses with all weights of a type: 100 times the natural logarithm of the ratio of
# perplexities. Sources: the table of ggml-org/llama.cpp ``tools/perplexity/README.md`` (b11434), less the
# 0.02 that F16 shows there, with the mixes of types taken apart by ``EMPHASIS``. Types that it lacks: in
# proportion to the squared error of normally distributed weights, in which Q4_0 has 0.0074 (computed with the
# ``gguf`` package; docs/planning.md).
TYPE_LOSS = {
    "F64": 0.0,
    "F32": 0.0,
    "BF16": 0.0,
    "F16": 0.0,
    "Q8_K": 0.02,
    "Q8_0": 0.02,
    "Q6_K": 0.33,
    "Q5_K": 1.3,
    "Q5_1": 1.5,
    "Q5_0": 1.9,
    "Q4_K": 3.2,
    "IQ4_NL": 3.5,
    "IQ4_XS": 3.6,
    "Q4_1": 7.0,
    "Q4_0": 7.25,
    "NVFP4": 8.9,  # 0.0090
    "IQ3_S": 11.5,
    "MXFP4": 13.0,  # 0.0132
    "Q3_K": 18.0,
    "IQ3_XXS": 19.0,
    "IQ2_S": 46.0,
    "Q2_K": 48.0,
    "IQ2_XS": 58.0,
    "IQ2_XXS": 85.0,
    "Q2_0": 114.0,  # 0.116: four levels
    "IQ1_M": 145.0,
    "IQ1_S": 225.0,
    "Q1_0": 350.0,  # 0.36: two levels
    "TQ2_0": 640.0,  # 0.65: three levels at the scale of the largest weight
    "TQ1_0": 640.0,
}
# A type that no table has loses what one with its bits per weight does.
LOSS_BY_BITS = (
    (1.5625, 225.0),
    (1.75, 145.0),
    (2.0625, 85.0),
    (2.5625, 46.0),
    (3.0625, 19.0),
    (3.4375, 11.5),
    (4.25, 3.6),
    (5.5, 1.3),
    (6.5625, 0.33),
    (8.5, 0.02),
    (16.0, 0.0001),
)
# Types that models of an architecture are trained in: there they lose nothing. Sources: gpt-oss, model card
# of OpenAI ("MXFP4 quantization of the MoE weights", arXiv:2508.10925); kimi-k3, moonshotai/Kimi-K3 is
# published in MXFP4 (vllm-project/recipes@8959cf6); deepseek4, the files that unsloth calls Q8_K_XL have 4.56
# bits per weight, their experts being published in FP4; BitNet b1.58, arXiv:2402.17764.
TRAINED_TYPES = {
    "gpt-oss": frozenset({"MXFP4"}),
    "kimi-k3": frozenset({"MXFP4"}),
    "deepseek4": frozenset({"MXFP4"}),
    "bitnet": frozenset({"TQ1_0", "TQ2_0"}),
    "bitnet-b1.58": frozenset({"TQ1_0", "TQ2_0"}),
}
# How much a parameter of these counts, where others count 1. By the differences between Q3_K_S and Q3_K_M,
# Q4_K_S and Q4_K_M in the table above; ssm_out: unsloth.ai/docs/models/qwen3.5/gguf-benchmarks.
EMPHASIS = {
    "attn_v": 10.0,
    "attn_qkv": 4.0,
    "attn_output": 2.0,
    "ssm_out": 2.0,
    "ffn_down": 1.5,
    "ffn_down_exps": 1.5,
    "ffn_down_shexp": 1.5,
}


def quality_loss(model: ResolvedModel) -> float:
    """Perplexity that is added, in percent of that of the model at full precision. The name of a quant says
    nothing here: publishers call different mixes the same."""
    return _shape_loss(model.shape)


QUANT_NAME = re.compile(
    r"(?:UD-|I1-)?(I?Q\d|TQ\d|MXFP4|NVFP4|BF16|F16|F32)(_K|_XXS|_XS|_S|_M|_NL|_\d)?(_.*)?"
)
MIXED_TYPES = {"IQ4": "IQ4_NL", "IQ3": "IQ3_S", "IQ2": "IQ2_S"}  # of which IQ3_M and the like mostly consist


def named_loss(quant: str) -> float | None:
    """With all weights of the type that names the quant: at least what its mix of types loses."""
    match = QUANT_NAME.fullmatch(quant.upper())
    if match is None:
        return None
    family, size = match.group(1), match.group(2) or ""
    return TYPE_LOSS.get(family + size, TYPE_LOSS.get(MIXED_TYPES.get(family, family)))


@cached_by_identity(64)
def _shape_loss(shape: ModelShape) -> float:
    parameters = sum(prod(tensor.shape) for tensor in shape.tensors)
    return loss_percent(_reference_loss(_matrices(shape), shape.architecture), parameters)


def _matrices(shape: ModelShape) -> list[Tensor]:
    """Without norms and biases, which no quantizer touches; and where the output has a tensor of its own
    without embeddings, of which a token reads one row."""
    has_output = any(tensor.name == "output.weight" for tensor in shape.tensors)
    return [
        tensor
        for tensor in shape.tensors
        if len(tensor.shape) > 1 and not (has_output and tensor.name == "token_embd.weight")
    ]


def _reference_loss(tensors: Iterable[Tensor], architecture: str) -> float:
    trained = TRAINED_TYPES.get(architecture, frozenset())
    total, lost = 0.0, 0.0
    for tensor in tensors:
        weight = prod(tensor.shape) * EMPHASIS.get(_part(tensor.name), 1.0)
        total += weight
        lost += 0.0 if tensor.type in trained else weight * type_loss(tensor)
    return lost / total if total else LOSS_BY_BITS[0][1]


def _part(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def type_loss(tensor: Tensor) -> float:
    known = TYPE_LOSS.get(tensor.type)
    return loss_of_bits(8 * tensor.size_bytes / prod(tensor.shape)) if known is None else known


def loss_of_bits(bits_per_weight: float) -> float:
    """Between types of the most efficient kind; the logarithm of the loss is nearly linear in the bits."""
    bits, loss = LOSS_BY_BITS[0]
    if bits_per_weight <= bits:
        return loss * 4 ** (bits - bits_per_weight)  # a bit less, twice the error
    for more_bits, less_loss in LOSS_BY_BITS[1:]:
        if bits_per_weight <= more_bits:
            share = (bits_per_weight - bits) / (more_bits - bits)
            return exp((1 - share) * log(loss) + share * log(less_loss))
        bits, loss = more_bits, less_loss
    return 0.0
