"""Methods of quantization: their families, those that quantize on loading, and the dtype that is served."""

from domain.errors import UsageError
from planner.vllm.model_config import Config

DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
# Bytes per value, and whether only experts are quantized.
# Source: vLLM 0.32.0, ``quantization/fp8.py``, ``experts_int8.py``; bitsandbytes is no longer there.
ONLINE_QUANTIZATION = {
    "fp8": (1.0, False),
    "fp8_per_tensor": (1.0, False),
    "experts_int8": (1.0, True),
}


def served_dtype(config: Config, dtype: str) -> str:
    """``auto`` serves 32-bit weights in 16 bits. Source: ``vllm serve --help``, --dtype."""
    if dtype != "auto":
        return dtype
    return "float16" if config.dtype == "float32" else config.dtype


def online_quantization(config: Config, requested: str | None) -> str | None:
    """The method that ``--quantization`` applies to plain weights; ``None`` if the files already have it.

    Raises: UsageError for one that the files don't have, as vLLM does."""
    if requested is None or (config.method and method_family(requested) == method_family(config.method)):
        return None
    if config.method is not None:
        raise UsageError(
            f"the model is quantized with {config.method}, {requested} was asked for",
            hint="leave --quantization out: vLLM reads it from the model",
        )
    if requested not in ONLINE_QUANTIZATION:
        methods = ", ".join(ONLINE_QUANTIZATION)
        raise UsageError(
            f"the model is not quantized with {requested}",
            hint=f"leave --quantization out, or give one of {methods}, which quantize on loading",
        )
    return requested


def method_family(method: str) -> str:
    """``awq_marlin`` and ``auto_awq`` load what ``awq`` wrote."""
    if method.lower().replace("_", "-") in ("auto-round", "autoround"):
        return "inc"  # Intel Neural Compressor's
    base_method = method.lower().replace("-", "_").removeprefix("auto_").removesuffix("_marlin")
    return base_method.removeprefix("gpt_oss_")
