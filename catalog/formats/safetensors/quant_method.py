"""How a model's weights are quantized, by its config.json, and which GPUs have kernels for that."""

from domain.models.model import ModelShape

# Least CUDA compute capability. Source: vLLM 0.32.0, get_min_capability of the quantization methods (fp8,
# auto_awq, auto_gptq, mxfp4, modelopt) and of compressed-tensors' schemes (w8a16_fp8, wNa16, w4a4_nvfp4,
# w8a8_int8). GPUs without hardware for a format dequantize it with Marlin kernels.
MIN_CAPABILITY = {"fp8": 7.5, "awq": 7.5, "gptq": 6.0, "mxfp4": 8.0, "nvfp4": 7.5, "int8": 7.5, "int4": 7.5}
CONFIG = "quantization_config"
_SYNONYMS = {"awq_marlin": "awq", "gptq_marlin": "gptq", "fbgemm_fp8": "fp8"}
_FORMATS = {"nvfp4-pack-quantized": "nvfp4", "mxfp4-pack-quantized": "mxfp4", "float-quantized": "fp8"}


def kind_of(shape: ModelShape) -> str:
    """awq, gptq, fp8, mxfp4, nvfp4, int8, int4, mlx, or another method's own name; for unquantized weights
    the dtype that most bytes have."""
    method = _text(shape, "quant_method").lower()
    if method == "compressed-tensors":
        return _compressed_tensors(shape)
    if method.startswith("modelopt"):
        algorithm = f"{method} {_text(shape, 'quant_algo')}".lower()
        return next((kind for kind in ("nvfp4", "mxfp8", "fp8") if kind in algorithm), method)
    if method in ("auto-round", "autoround"):
        return f"int{_number(shape, 'bits') or 4}"
    if not method and _is_mlx(shape):
        return "mlx"
    return _SYNONYMS.get(method, method) or _most_common_dtype(shape)


def _is_mlx(shape: ModelShape) -> bool:
    """mlx-lm writes bits and the size of groups twice, as ``quantization`` and as ``quantization_config``,
    and no method."""
    return any(
        isinstance(shape.get(f"{part}.bits"), int) and isinstance(shape.get(f"{part}.group_size"), int)
        for part in ("quantization", CONFIG)
    )


def _compressed_tensors(shape: ModelShape) -> str:
    """By the first group, which has most layers."""
    if kind := _FORMATS.get(_text(shape, "format")):
        return kind
    bits = _number(shape, "config_groups.group_0.weights.num_bits")
    if _text(shape, "config_groups.group_0.weights.type") == "float":
        return "fp8" if bits == 8 else "nvfp4" if bits == 4 else "compressed-tensors"
    return f"int{bits}" if bits else "compressed-tensors"


def _most_common_dtype(shape: ModelShape) -> str:
    sizes: dict[str, int] = {}
    for tensor in shape.tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size_bytes
    return max(sizes, key=lambda kind: sizes[kind], default="")


def _text(shape: ModelShape, key: str) -> str:
    value = _value(shape, key)
    return value if isinstance(value, str) else ""


def _number(shape: ModelShape, key: str) -> int | None:
    value = _value(shape, key)
    return value if isinstance(value, int) else None


def _value(shape: ModelShape, key: str) -> object:
    """In a multimodal model the text model alone may be quantized."""
    value = shape.get(f"{CONFIG}.{key}")
    return shape.get(f"text_config.{CONFIG}.{key}") if value is None else value
