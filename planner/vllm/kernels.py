"""vLLM's kernels: the GPUs and CPUs that it runs on, and the GPU that each quantization needs.

Source: vLLM 0.32.0: ``get_min_capability`` of each method in ``layers/quantization/`` and of the schemes of
compressed-tensors; ``platforms/rocm.py`` and ``platforms/xpu.py`` (supported_quantization, architectures);
the installation pages of docs.vllm.ai for the oldest GPU of each build.
"""

import re
from collections.abc import Mapping

from domain.launches.plan import VLLM
from domain.machine.hardware import Gpu, Hardware
from domain.models.model import ResolvedModel
from planner.choose.support import Support
from planner.vllm import model_config
from planner.vllm.weights.quantization import method_family

# FP8 weights below 8.9, and 4-bit floats below 10.0, are multiplied in 16 bits (Marlin): slower for prompts,
# not refused.
MIN_CAPABILITY = 7.5
# Below this, bfloat16 weights are served as float16 (``platforms/cuda.py``, check_if_supports_dtype).
BFLOAT16_CAPABILITY = 8.0
FP8_CAPABILITY, E5M2_CACHE_CAPABILITY = 8.9, 8.0
MIN_CAPABILITY_BY_METHOD: Mapping[str, float] = {
    "modelopt_fp8": 8.0, "mxfp4": 8.0, "mxfp8": 8.0, "fbgemm_fp8": 8.0, "experts_int8": 8.0, "quark": 8.0,
    "fp_quant": 10.0,
}  # fmt: skip
# Architectures of the ROCm wheels; there are none for RDNA 2 and older, nor for Vega before MI200.
AMD_ARCHS = (
    "gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1150", "gfx1151", "gfx1200", "gfx1201",
)  # fmt: skip
AMD_METHODS = (
    "awq", "gptq", "int4", "int8", "fp8", "compressed_tensors", "fbgemm_fp8", "quark", "mxfp4", "mxfp8",
    "torchao", "modelopt", "modelopt_fp4", "inc",
)  # fmt: skip
INTEL_METHODS = ("inc", "awq", "gptq", "int4", "fp8", "mxfp4", "mxfp8", "modelopt", "compressed_tensors")
UNQUANTIZED = ("", "F32", "BF16", "F16", "FP16", "FP32")
CPU_METHODS = (
    "inc",
    "awq",
    "gptq",
    "int4",
    "int8",
    "fp8",
    "compressed_tensors",
    "mxfp4",
)  # ``kernels/linear``
# ``fused_moe/oracle/fp8.py``, refine_fp8_moe_block_shape: in 0.32.0, and in none that were read before it.
_DIVIDES_BLOCKS = (0, 32)
_FP8_AMD = ("gfx942", "gfx950", "gfx1200", "gfx1201")  # ``platforms/rocm.py``, supports_fp8


def gpu_support(gpu: Gpu, hardware: Hardware, model: ResolvedModel | None = None) -> Support:
    """Whether vLLM has kernels for the weights of ``model`` on this GPU; without a model, for any weights."""
    vendor = gpu.vendor.lower()
    method = None if model is None else quant_family(model)
    if vendor == "nvidia":
        return _nvidia(gpu, method, model.compute_capability if model else None)
    if vendor == "amd":
        return _amd(gpu, hardware, method)
    if vendor == "intel":
        if method is not None and method not in INTEL_METHODS:
            return Support(f"vLLM has no {method} kernel for Intel GPUs")
        return Support(is_known=hardware.stacks.level_zero is not None)
    return Support(f"vLLM does not run on {gpu.name}")


def cpu_support(model: ResolvedModel) -> Support:
    method = quant_family(model)
    if method is not None and method not in CPU_METHODS:
        return Support(f"vLLM has no {method} kernel for CPUs")
    return Support()


def quant_family(model: ResolvedModel) -> str | None:
    """The family of the quantization; ``None`` for plain weights."""
    method = model_config.quant_method(model.shape)
    if method is None and model.weights.quant.upper() in UNQUANTIZED:
        return None
    return method_family(method or model.weights.quant)


def compute_capability(arch: str | None) -> float | None:
    """``sm_89`` is 8.9, ``sm_120`` 12.0; ``None`` for another vendor or an unknown architecture."""
    match = re.fullmatch(r"sm_(\d+)(\d)[a-z]?", arch or "")
    return float(f"{match[1]}.{match[2]}") if match else None


def lacks_bfloat16(gpu: Gpu) -> bool:
    capability = compute_capability(gpu.arch)
    return capability is not None and capability < BFLOAT16_CAPABILITY


def is_cpu_build(hardware: Hardware) -> bool:
    """Whether every vLLM on this machine was built for CPUs."""
    builds = [
        engine.backends for engine in hardware.engines if engine.engine == VLLM and engine.problem is None
    ]
    return bool(builds) and all(build == ("cpu",) for build in builds)


def divides_blocks(gpu: Gpu, hardware: Hardware) -> bool:
    """Whether vLLM is known to divide the blocks of experts in FP8 where ranks cut them: the version that is
    installed does, and this GPU has FP8, which the only kernels for such blocks need."""
    versions = [
        engine.version or ""
        for engine in hardware.engines
        if engine.engine == VLLM and engine.problem is None
    ]
    numbers = [re.match(r"v?(\d{1,9})\.(\d{1,9})", version) for version in versions]
    is_new = bool(numbers) and all(
        match is not None and (int(match[1]), int(match[2])) >= _DIVIDES_BLOCKS for match in numbers
    )
    return is_new and has_fp8(gpu)


def has_fp8(gpu: Gpu) -> bool:
    """Whether the GPU multiplies FP8."""
    capability = compute_capability(gpu.arch)
    is_known = capability is not None and capability >= FP8_CAPABILITY
    return is_known or (gpu.arch or "").partition(":")[0] in _FP8_AMD


def _nvidia(gpu: Gpu, method: str | None, required: float | None) -> Support:
    """``required``: what the catalogue says of these weights, which overrides their family."""
    capability = compute_capability(gpu.arch)
    if capability is None:
        return Support(is_known=False)
    required = required or MIN_CAPABILITY_BY_METHOD.get(method or "", MIN_CAPABILITY)
    minimum = max(MIN_CAPABILITY, required)
    if capability < minimum:
        subject = f"{method} weights need" if method else "vLLM needs"
        return Support(f"{subject} compute capability {minimum}, {gpu.name} has {capability}")
    return Support()


def _amd(gpu: Gpu, hardware: Hardware, method: str | None) -> Support:
    if hardware.stacks.rocm is None and hardware.stacks.vulkan is not None:
        return Support(f"{gpu.name} has Vulkan here and no ROCm, which vLLM needs")
    if gpu.arch is not None and gpu.arch.partition(":")[0] not in AMD_ARCHS:
        return Support(f"vLLM has no kernels for {gpu.arch} ({gpu.name})")
    if method is not None and method not in AMD_METHODS:
        return Support(f"vLLM has no {method} kernel for AMD GPUs")
    return Support(is_known=hardware.stacks.rocm is not None and gpu.arch is not None)
