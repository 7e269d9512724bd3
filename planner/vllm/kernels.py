"""Where vLLM runs at all, and which GPU each quantization needs.

Source: vLLM 0.32.0: ``get_min_capability`` of each method in ``layers/quantization/`` and of the schemes of
compressed-tensors; ``platforms/rocm.py`` and ``platforms/xpu.py`` (supported_quantization, architectures);
the installation pages of docs.vllm.ai for the least GPU of each build.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.hardware import Gpu, Hardware
from domain.model import ResolvedModel
from domain.plan import VLLM
from planner.vllm import model_config
from planner.vllm.weights import family

# Below 8.9, FP8 weights are multiplied as 16 bits (Marlin), as 4-bit floats are below 10.0: slower for
# prompts, not refused.
LEAST = 7.5
BFLOAT16 = 8.0  # ``platforms/cuda.py``, check_if_supports_dtype; such weights are served as float16 below
FP8_CACHE = 8.9
FLOORS: Mapping[str, float] = {
    "modelopt_fp8": 8.0, "mxfp4": 8.0, "mxfp8": 8.0, "fbgemm_fp8": 8.0, "experts_int8": 8.0, "quark": 8.0,
    "fp_quant": 10.0,
}  # fmt: skip
# Families of ROCm's wheels; RDNA 2 and older, and Vega before MI200, have none.
AMD_ARCHS = (
    "gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1150", "gfx1151", "gfx1200", "gfx1201",
)  # fmt: skip
AMD_METHODS = (
    "awq", "gptq", "int4", "int8", "fp8", "compressed_tensors", "fbgemm_fp8", "quark", "mxfp4", "mxfp8",
    "torchao", "modelopt", "modelopt_fp4",
)  # fmt: skip
INTEL_METHODS = ("awq", "gptq", "int4", "fp8", "mxfp4", "mxfp8", "modelopt", "compressed_tensors")
PLAIN = ("", "F32", "BF16", "F16", "FP16", "FP32")
CPU_METHODS = ("awq", "gptq", "int4", "int8", "fp8", "compressed_tensors", "mxfp4")  # ``kernels/linear``


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why_not`` is empty where vLLM can run; ``is_known`` is false where the machine does not say enough
    for that to be taken for granted."""

    why_not: str = ""
    is_known: bool = True

    def __bool__(self) -> bool:
        return not self.why_not


def of_gpu(gpu: Gpu, hardware: Hardware, candidate: ResolvedModel | None = None) -> Verdict:
    """Whether vLLM has kernels for these weights on this GPU; for any at all where none are given."""
    vendor = gpu.vendor.lower()
    kind = None if candidate is None else kind_of(candidate)
    if vendor == "nvidia":
        return _nvidia(gpu, kind, candidate.compute_capability if candidate else None)
    if vendor == "amd":
        return _amd(gpu, hardware, kind)
    if vendor == "intel":
        if kind is not None and kind not in INTEL_METHODS:
            return Verdict(f"vLLM has no {kind} kernel for Intel GPUs")
        return Verdict(is_known=hardware.stacks.level_zero is not None)
    return Verdict(f"vLLM does not run on {gpu.name}")


def of_cpu(candidate: ResolvedModel) -> Verdict:
    kind = kind_of(candidate)
    if kind is not None and kind not in CPU_METHODS:
        return Verdict(f"vLLM has no {kind} kernel for CPUs")
    return Verdict()


def kind_of(candidate: ResolvedModel) -> str | None:
    """The family of the quantization; ``None`` of plain weights."""
    method = model_config.method(candidate.shape)
    if method is None and candidate.weights.quant.upper() in PLAIN:
        return None
    return family(method or candidate.weights.quant)


def capability(arch: str | None) -> float | None:
    """``sm_89`` is 8.9, ``sm_120`` 12.0; ``None`` for another vendor's, or where the driver does not say."""
    found = re.fullmatch(r"sm_(\d+)(\d)[a-z]?", arch or "")
    return float(f"{found[1]}.{found[2]}") if found else None


def lacks_bfloat16(gpu: Gpu) -> bool:
    has = capability(gpu.arch)
    return has is not None and has < BFLOAT16


def is_cpu_build(hardware: Hardware) -> bool:
    """Whether every vLLM on this machine was built for CPUs."""
    builds = [one.backends for one in hardware.engines if one.engine == VLLM and one.problem is None]
    return bool(builds) and all(build == ("cpu",) for build in builds)


def _nvidia(gpu: Gpu, kind: str | None, least: float | None) -> Verdict:
    """``least``: what the catalogue says of these weights, which knows better than their family."""
    has = capability(gpu.arch)
    if has is None:
        return Verdict(is_known=False)
    floor = max(LEAST, least or (FLOORS.get(kind, LEAST) if kind else LEAST))
    if has < floor:
        what = f"{kind} weights need" if kind else "vLLM needs"
        return Verdict(f"{what} compute capability {floor}, {gpu.name} has {has}")
    return Verdict()


def _amd(gpu: Gpu, hardware: Hardware, kind: str | None) -> Verdict:
    if hardware.stacks.rocm is None and hardware.stacks.vulkan is not None:
        return Verdict(f"{gpu.name} has Vulkan here and no ROCm, which vLLM needs")
    if gpu.arch is not None and gpu.arch.partition(":")[0] not in AMD_ARCHS:
        return Verdict(f"vLLM has no kernels for {gpu.arch} ({gpu.name})")
    if kind is not None and kind not in AMD_METHODS:
        return Verdict(f"vLLM has no {kind} kernel for AMD GPUs")
    return Verdict(is_known=hardware.stacks.rocm is not None and gpu.arch is not None)
