"""How much quantized safetensors lose against the original weights."""

from domain.model import ResolvedModel
from planner.choose.candidates import UNKNOWN_LOSS

# Added perplexity by storage type. Sources: 4-bit integers in groups of 128, Llama-3-8B: 6.6 (AWQ) and 6.5
# (GPTQ) after 6.1, arXiv:2404.14047 table 1; 8 bits lose next to nothing, arXiv:2411.02355; NVFP4 is on a par
# with AWQ (ure.us/articles/benchmarking-nvfp4-blackwell), MXFP4's coarser scales cost about twice that,
# arXiv:2509.23202. A model that was trained in MXFP4 says so and loses nothing.
ADDED_PERPLEXITY = {
    "f32": 0.0,
    "bf16": 0.0,
    "f16": 0.0,
    "fp8": 0.01,
    "int8": 0.012,
    "gptq": 0.4,
    "awq": 0.5,
    "int4": 0.4,
    "mxfp8": 0.01,
    "nvfp4": 0.5,
    "fp4": 0.9,
    "mxfp4": 0.0,
}


def quality_loss(model: ResolvedModel) -> float:
    return ADDED_PERPLEXITY.get(storage_type(model), UNKNOWN_LOSS)


def storage_type(model: ResolvedModel) -> str:
    """A key of ``ADDED_PERPLEXITY``. If config.json names MXFP4 as the method, and not the tool that
    quantized to it, the model was trained in it."""
    storage = model.weights.quant.lower().replace("fp16", "f16").replace("fp32", "f32")
    method = model.shape.get("quantization_config.quant_method")
    return "fp4" if storage == "mxfp4" and method not in (None, "mxfp4") else storage or "bf16"
