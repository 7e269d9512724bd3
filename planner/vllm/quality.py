"""How much quantized safetensors lose against the original weights."""

from domain.models.model import ResolvedModel
from planner.choose.sensitivity import loss_percent
from planner.vllm.model_config import weight_bits

# Perplexity that Llama-3-8B gains by storage type: 100 times the natural logarithm of the ratio. Sources:
# 4-bit integers in groups of 128: 6.6 (AWQ) and 6.5 (GPTQ) after 6.1, arXiv:2404.14047 table 1; 8 bits lose
# next to nothing, arXiv:2411.02355; NVFP4 is on a par with AWQ (KL divergence of Qwen3.8-27B: 0.031 to 0.041
# and 0.031, cards of malaiwah and phaedawg), MXFP4's coarser scales cost about twice that, arXiv:2509.23202.
# A model that was trained in MXFP4 says so and loses nothing.
TYPE_LOSS = {
    "f32": 0.0,
    "bf16": 0.0,
    "f16": 0.0,
    "fp8": 0.16,
    "int8": 0.19,
    "gptq": 6.4,
    "awq": 7.9,
    "int4": 6.4,
    "mxfp8": 0.16,
    "nvfp4": 7.9,
    "fp4": 13.8,
    "mxfp4": 0.0,
}
# Bits per weight that a type's scales and the unquantized rest make of it, approximately: for the size of the
# model.
_BITS = {"f32": 32.0, "bf16": 16.0, "f16": 16.0, "fp8": 8.5, "int8": 8.5, "mxfp8": 8.5}
FOUR_BITS = 5.0
# Packed integers of other than four bits, whatever wrote them; those below as llama.cpp's types of as many
# bits (``planner/llama_cpp/quality.py``), for lack of published runs.
INTEGER_LOSS = {8: 0.19, 6: 0.33, 5: 1.3, 3: 18.0, 2: 58.0}
INTEGERS = ("gptq", "awq", "int")


def quality_loss(model: ResolvedModel) -> float:
    """Perplexity that is added, in percent of that of the model at full precision."""
    storage = storage_type(model)
    packed_bits = weight_bits(model.shape) if storage.startswith(INTEGERS) else None
    bits = _BITS.get(storage, FOUR_BITS)
    if packed_bits in INTEGER_LOSS:
        bits = packed_bits + FOUR_BITS - 4
    reference = INTEGER_LOSS.get(packed_bits or 0, TYPE_LOSS.get(storage, TYPE_LOSS["fp4"]))
    return loss_percent(reference, 8 * model.weights.size_bytes / bits)


def named_loss(quant: str) -> float | None:
    return TYPE_LOSS.get(quant.lower())


def storage_type(model: ResolvedModel) -> str:
    """A key of ``TYPE_LOSS``. If config.json names MXFP4 as the method, and not the tool that
    quantized to it, the model was trained in it."""
    storage = model.weights.quant.lower().replace("fp16", "f16").replace("fp32", "f32")
    method = model.shape.get("quantization_config.quant_method")
    return "fp4" if storage == "mxfp4" and method not in (None, "mxfp4") else storage or "bf16"
