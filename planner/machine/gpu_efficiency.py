"""The share of their data sheets that GPUs reach, per back end.

Shares are of the data sheet's bandwidth or dense FP16 rate. Each has one meaning and holds for every model
and product of its back end. They are fitted to published runs (tests/captures/bench.json and
bench-boxes.json, each with its source). bench/speed_errors.py prints the errors, and those of fits without a
fifth of the boxes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.machine.hardware import Gpu, MemoryKind
from domain.models.ggml import BY_NAME
from planner.machine.devices import Backend


@dataclass(frozen=True, slots=True)
class GpuEfficiency:
    """Decode: ``read`` of dense matrices, ``expert_read`` of routed experts, ``kv_read`` of the cache;
    ``attention``: operations per byte of bandwidth where heads that share a KV head read it again; ``op_s``
    for each tensor's launch and wait, ``moe_layer_s`` for choosing experts, ``token_s`` once per token.

    Prefill: ``flops`` of dense matrices, ``expert_flops`` of routed experts, ``prefill_attention`` of
    attention. ``flops_per_byte``: FP16 operations per byte of bandwidth, for a GPU whose rate is not known.
    ``has_mla_flash_attention``: whether flash attention has a kernel for MLA's heads of 576 values; without
    one they are matrix products.

    ``dequantising`` and ``prefill_slowdown``: how much longer reading a type, or multiplying by it, takes
    than others. Where the reason is arithmetic, as on Apple's GPUs, a chip with fewer FP16 operations per
    byte of bandwidth than ``dequantising_flops_per_byte`` takes longer to read in proportion."""

    read: float
    expert_read: float
    kv_read: float
    attention: float
    token_s: float
    op_s: float
    moe_layer_s: float
    flops: float
    expert_flops: float
    prefill_attention: float
    flops_per_byte: float
    has_mla_flash_attention: bool = True
    prefill_slowdown: Mapping[str, float] = field(default_factory=dict)
    dequantising: Mapping[str, float] = field(default_factory=dict)
    dequantising_flops_per_byte: float | None = None

    def launch_s(self, tensors: int, recurrent_layers: int, moe_layers: int) -> float:
        """The fixed times of one pass through these tensors and layers."""
        launches = tensors + RECURRENT_LAUNCHES * recurrent_layers
        return self.token_s + self.op_s * launches + self.moe_layer_s * moe_layers


RECURRENT_LAUNCHES = 12  # kernels of a recurrent layer beyond one for each of its tensors

QUANTIZED_TYPES = tuple(name for name, kind in BY_NAME.items() if kind.block > 1)
# Codebook types are dequantised by table lookups, which takes longer than their bytes say: about a third
# slower than Q4_K at one size (llama-bench tables of ggml-org/llama.cpp#4773 and later).
CODEBOOK_TYPES = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
# Types of 2 and 3 bits are stored in two bit planes.
_CODEBOOK_SLOWDOWN = dict.fromkeys(CODEBOOK_TYPES, 1.3) | {"Q2_K": 1.15, "Q3_K": 1.2}
# Vulkan converts BF16 in the shader where the device lacks it: 9.4 tok/s of Qwen3-30B-A3B BF16 on Strix Halo,
# 23 with ROCm (github.com/lhl/strix-halo-testing).
_NO_BF16_SLOWDOWN = {**_CODEBOOK_SLOWDOWN, "BF16": 2.6}
# Metal dequantises K quants in its shaders: seconds per byte over those of Q8_0, one model in eight quants on
# an M2 Max (ggml-org/llama.cpp#4406).
_METAL_SLOWDOWN = {
    **_CODEBOOK_SLOWDOWN,
    "Q2_K": 1.35,
    "Q3_K": 1.5,
    "Q4_K": 1.2,
    "Q5_K": 1.3,
    "Q6_K": 1.15,
    "Q4_0": 1.1,
    "Q5_0": 1.2,
}
# SYCL has no native MXFP4 kernel: gpt-oss-20b is faster with its experts on the CPU (Arc B580). Nor has it
# quick ones for 2 and 3 bits (github.com/kyuz0/ai-toolbox-cockpit/issues/9).
_INTEL_SLOWDOWN = {**_CODEBOOK_SLOWDOWN, "MXFP4": 3.0, "Q2_K": 2.9, "Q3_K": 2.9, "IQ3_S": 2.9}

# ``flops_per_byte``: GeForce 30 to 50 have 76 to 164, Radeon 115 to 300, GB10 458 (a quarter of its 500 dense
# FP4 TFLOP/s), Apple M1 to M4 26 to 35.
CUDA = GpuEfficiency(
    read=0.83, expert_read=0.76, kv_read=0.77, attention=8.0, token_s=200e-6, op_s=4e-6, moe_layer_s=16e-6,
    flops=0.9, expert_flops=0.42, prefill_attention=0.55, flops_per_byte=110.0,
    prefill_slowdown=_CODEBOOK_SLOWDOWN, dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
CUDA_UNIFIED = GpuEfficiency(
    read=0.81, expert_read=0.95, kv_read=0.76, attention=8.0, token_s=190e-6, op_s=3.1e-6, moe_layer_s=15e-6,
    flops=0.32, expert_flops=0.24, prefill_attention=0.33, flops_per_byte=458.0,
    prefill_slowdown=_CODEBOOK_SLOWDOWN, dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
METAL = GpuEfficiency(
    read=0.92, expert_read=0.75, kv_read=0.75, attention=2.9, token_s=210e-6, op_s=11e-6, moe_layer_s=22e-6,
    flops=0.67, expert_flops=0.75, prefill_attention=0.44, flops_per_byte=34.0,
    prefill_slowdown=_METAL_SLOWDOWN, dequantising=_METAL_SLOWDOWN, dequantising_flops_per_byte=34.0,
)  # fmt: skip
HIP = GpuEfficiency(
    read=0.86, expert_read=0.6, kv_read=0.75, attention=10.0, token_s=210e-6, op_s=7.5e-6, moe_layer_s=16e-6,
    flops=0.36, expert_flops=0.18, prefill_attention=0.063, flops_per_byte=150.0,
    prefill_slowdown=_CODEBOOK_SLOWDOWN, dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
HIP_UNIFIED = replace(
    HIP, read=0.82, expert_read=0.64, kv_read=0.45, attention=15.0, op_s=5e-6,
    flops=0.29, expert_flops=0.16, prefill_attention=0.1,
)  # fmt: skip
# Vega has neither matrix cores nor BF16; 8-bit products are made four at a time by its shaders.
HIP_GCN = replace(
    HIP, read=0.56, flops=0.4, expert_flops=0.28, prefill_attention=0.15,
    prefill_slowdown={"BF16": 3.0, "F16": 1.5},
    dequantising=dict.fromkeys(QUANTIZED_TYPES, 1.6) | dict.fromkeys(CODEBOOK_TYPES, 2.1),
)  # fmt: skip
VULKAN = GpuEfficiency(
    read=0.81, expert_read=0.7, kv_read=0.45, attention=8.0, token_s=200e-6, op_s=4e-6, moe_layer_s=16e-6,
    flops=0.22, expert_flops=0.13, prefill_attention=0.045, flops_per_byte=150.0,
    has_mla_flash_attention=False, prefill_slowdown={**_CODEBOOK_SLOWDOWN, "BF16": 1.5, "Q3_K": 1.7},
    dequantising={**_CODEBOOK_SLOWDOWN, "Q3_K": 1.5},
)  # fmt: skip
VULKAN_UNIFIED = replace(
    VULKAN, read=0.83, expert_read=0.78, kv_read=0.7, attention=13.5, op_s=3.3e-6,
    flops=0.18, expert_flops=0.18, prefill_attention=0.045,
    prefill_slowdown=_NO_BF16_SLOWDOWN, dequantising=_NO_BF16_SLOWDOWN,
)  # fmt: skip
VULKAN_NVIDIA = replace(
    VULKAN, read=0.82, expert_read=0.66, kv_read=0.7, flops=0.83, expert_flops=0.4, prefill_attention=0.6,
    has_mla_flash_attention=True, prefill_slowdown=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
# Radeon without matrix cores (RDNA2 and older).
VULKAN_SIMD = replace(
    VULKAN, read=0.65, flops=0.3, expert_flops=0.15, prefill_slowdown=_NO_BF16_SLOWDOWN,
    dequantising=_NO_BF16_SLOWDOWN,
)  # fmt: skip
# AMDVLK has 32 KiB of shared memory where RADV has 64, so matrix tiles are smaller
# (GPUOpen-Drivers/AMDVLK#420); with it llama.cpp of 2026 is slower than that of 2025.
AMDVLK = replace(VULKAN_UNIFIED, flops=0.056, prefill_attention=0.05)
INTEL = GpuEfficiency(
    read=0.78, expert_read=0.43, kv_read=0.5, attention=3.0, token_s=180e-6, op_s=4.6e-6, moe_layer_s=21e-6,
    flops=0.085, expert_flops=0.085, prefill_attention=0.027, flops_per_byte=200.0,
    has_mla_flash_attention=False, prefill_slowdown={**_CODEBOOK_SLOWDOWN, "MXFP4": 3.0},
    dequantising=_INTEL_SLOWDOWN,
)  # fmt: skip

BY_CLASS: Mapping[str, GpuEfficiency] = {
    "cuda": CUDA, "cuda unified": CUDA_UNIFIED, "metal": METAL, "hip": HIP, "hip unified": HIP_UNIFIED,
    "hip gcn": HIP_GCN, "vulkan": VULKAN, "vulkan simd": VULKAN_SIMD, "vulkan unified": VULKAN_UNIFIED,
    "vulkan nvidia": VULKAN_NVIDIA, "amdvlk": AMDVLK, "intel": INTEL, "rpc": VULKAN,
}  # fmt: skip


AMDVLK_NAMES = ("amdvlk", "amd open-source driver")  # the second is what engines print
SMALL_TILES_BUILD = 7700  # of January 2026
GCN_ARCH = re.compile(r"gfx90[0-6]$")  # Vega: MI25 to MI60
MATRIX_CORE_ARCH = re.compile(r"gfx1[12]")  # RDNA3 and RDNA4


def efficiency_class(gpu: Gpu, backend: Backend, build: int | None = None) -> str:
    """The key of ``BY_CLASS``. ``build``: llama.cpp's number, ``None`` for a current one."""
    vendor = gpu.vendor.lower()
    if vendor == "intel":
        return "intel"
    if backend.name == "vulkan":
        return _vulkan_class(gpu, vendor, build)
    if backend.name == "hip" and GCN_ARCH.match(gpu.arch or ""):
        return "hip gcn"
    is_unified = gpu.memory_kind is MemoryKind.UNIFIED
    return f"{backend.name} unified" if backend.name in ("cuda", "hip") and is_unified else backend.name


def _vulkan_class(gpu: Gpu, vendor: str, build: int | None) -> str:
    if vendor == "nvidia":
        return "vulkan nvidia"
    if gpu.memory_kind is MemoryKind.UNIFIED:
        is_amdvlk = any(name in (gpu.driver or "").lower() for name in AMDVLK_NAMES)
        is_slow = is_amdvlk and (build is None or build >= SMALL_TILES_BUILD)
        return "amdvlk" if is_slow else "vulkan unified"
    return "vulkan" if MATRIX_CORE_ARCH.match(gpu.arch or "") else "vulkan simd"
