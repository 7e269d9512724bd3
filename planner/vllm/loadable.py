"""Weights that vLLM can't load on any machine, and why.

Source: vLLM 0.32.0, ``layers/quantization/__init__.py`` (QuantizationMethods): bitsandbytes, HQQ, AQLM and
others of earlier releases are no longer among them.
"""

from domain.models.model import ResolvedModel
from planner.vllm import model_config
from planner.vllm.pooling import why_not_run
from planner.vllm.weights.quantization import method_family

FAMILIES = frozenset(
    (
        *("awq", "gptq", "moe_wna16", "inc", "compressed_tensors", "quark", "torchao", "humming", "online"),
        *("fp8", "fbgemm_fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "deepseek_v4_fp8"),
        *("modelopt", "modelopt_fp4", "modelopt_fp8", "modelopt_mxfp8", "modelopt_mixed", "fp_quant"),
        *("mxfp4", "mxfp8", "experts_int8", "int8_per_channel_weight_only", "nvfp4_per_token"),
    )
)
MLX = "mlx"


def why_not_loadable(model: ResolvedModel) -> str:
    """Empty for weights that vLLM can load where it has kernels for them."""
    if not model.weights.kind.is_served:
        architectures = model.shape.get("architectures")
        named = architectures[0] if isinstance(architectures, tuple) and architectures else "it"
        return f"{named} is {model.weights.kind.description}"
    if why_not := why_not_run(model):
        return why_not
    if model.weights.quant.lower() == MLX:
        return "MLX weights, for Apple's mlx only"
    method = model_config.quant_method(model.shape)
    if method and method_family(method) not in FAMILIES:
        return f"vLLM has no {method}: its weights can't be loaded"
    return ""
