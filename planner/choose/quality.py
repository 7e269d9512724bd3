"""How much a quant loses against the original weights."""

from domain.errors import UsageError
from domain.model import ResolvedModel
from domain.plan import VLLM

# Perplexity that a quant adds on Llama-3-8B. Source: the table in llama.cpp ``tools/quantize``; IQ types
# between their neighbours of the same bits per weight (its README lists sizes only).
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
# Of safetensors, by what their weights are stored in. Sources: 4-bit integers in groups of 128, Llama-3-8B:
# 6.6 (AWQ) and 6.5 (GPTQ) after 6.1, arXiv:2404.14047 table 1; 8 bits lose next to nothing, arXiv:2411.02355;
# NVFP4 is on a par with AWQ (ure.us/articles/benchmarking-nvfp4-blackwell), MXFP4's coarser scales cost
# about twice that, arXiv:2509.23202. A model that was trained in MXFP4 says so and loses nothing.
OF_SAFETENSORS = {
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
# Below this difference two quants answer alike; the smaller one is better then.
INDISTINGUISHABLE_LOSS = 0.004
# What an 8-bit quant loses at most: nobody can tell them apart, and speed decides where many are served.
INDISTINGUISHABLE_LOSS_IN_BATCH = 0.012
UNKNOWN_LOSS = 1.0
UNBOUNDED = 1000.0
QUALITY_LEVELS = {"best": 0.01, "high": 0.06, "balanced": 0.3, "small": 20.0}
# What a quant of a model loses whose experts are MXFP4 from the start: only the rest was touched.
NATIVE_SHARE = 0.5
REST_OF_NATIVE = 0.1


def loss(model: ResolvedModel) -> float:
    """Added perplexity, comparable between quants of one model only."""
    if model.engine == VLLM:
        return OF_SAFETENSORS.get(storage_type(model), UNKNOWN_LOSS)
    name = base_quant(model.weights.quant)
    if is_native_mxfp4(model):
        return REST_OF_NATIVE * ADDED_PERPLEXITY.get(name, 0.0)
    return ADDED_PERPLEXITY.get(name, UNKNOWN_LOSS)


def storage_type(model: ResolvedModel) -> str:
    """A key of ``OF_SAFETENSORS``. Where config.json names MXFP4 as its method, and no tool that made it so,
    the model was trained in it."""
    storage = model.weights.quant.lower().replace("fp16", "f16").replace("fp32", "f32")
    method = model.shape.get("quantization_config.quant_method")
    return "fp4" if storage == "mxfp4" and method not in (None, "mxfp4") else storage or "bf16"


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


def filter_by_quality(models: tuple[ResolvedModel, ...], quality: str | None) -> tuple[ResolvedModel, ...]:
    """Those of a quant by name, or no worse than a word says. Raises: UsageError with what there is."""
    if quality is None:
        return models
    if quality.lower() in QUALITY_LEVELS:
        limit = QUALITY_LEVELS[quality.lower()]
        matching = tuple(model for model in models if loss(model) <= limit)
        return matching or (min(models, key=loss),)
    matching = tuple(model for model in models if model.weights.quant.upper() == quality.upper())
    if not matching:
        names = ", ".join(sorted({model.weights.quant for model in models}))
        raise UsageError(
            f"there is no quant {quality}", hint=f"there are {names}; or say {', '.join(QUALITY_LEVELS)}"
        )
    return matching
