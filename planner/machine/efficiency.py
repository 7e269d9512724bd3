"""Efficiency: the share of their data sheets that devices reach, per back end.

Shares are of the data sheet's bandwidth or dense FP16 rate. Each has one meaning and holds for every model
and product of its back end. They are fitted to published runs (tests/captures/bench.json, each with its
source): decode's to 7 of 10 groups, prefill's to all. bench/speed_errors.py prints the errors, including
those of the other groups and of fits without a fifth of the runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domain.hardware import Gpu, MemoryKind
from domain.plan import Range
from planner.machine.devices import Backend


@dataclass(frozen=True, slots=True)
class GpuEfficiency:
    """Decode: ``read`` of dense matrices, ``expert_read`` of routed experts, ``kv_read`` of the cache;
    ``attention``: operations per byte of bandwidth where heads that share a KV head read it again; ``op_s``
    for each tensor's launch and wait, ``moe_layer_s`` for choosing experts, ``token_s`` once per token.

    Prefill: ``flops`` of dense matrices, ``expert_flops`` of routed experts, ``prefill_attention`` of
    attention. ``flops_per_byte``: FP16 operations per byte of bandwidth, for a GPU whose rate is not known.
    ``has_mla_flash_attention``: whether flash attention has a kernel for MLA's heads of 576 values; without
    one they are matrix products. ``dequantising``: how much longer reading a type takes than its bytes say.
    Where the reason is arithmetic, as on Apple's GPUs, a chip with fewer FP16 operations per byte of
    bandwidth than ``dequantising_flops_per_byte`` takes longer in proportion."""

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
    dequantising: Mapping[str, float] = field(default_factory=dict)
    dequantising_flops_per_byte: float | None = None

    def launch_s(self, tensors: int, moe_layers: int) -> float:
        """The fixed times of one pass through these tensors."""
        return self.token_s + self.op_s * tensors + self.moe_layer_s * moe_layers


# Codebook types are dequantised by table lookups, which takes longer than their bytes say: about a third
# slower than Q4_K at one size (llama-bench tables of ggml-org/llama.cpp#4773 and later).
CODEBOOK_TYPES = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
# Types of 2 and 3 bits are stored in two bit planes.
_CODEBOOK_SLOWDOWN = dict.fromkeys(CODEBOOK_TYPES, 1.3) | {"Q2_K": 1.15, "Q3_K": 1.2}
# Vulkan converts BF16 in the shader: 9.4 tok/s of Qwen3-30B-A3B BF16 on Strix Halo, 23 with ROCm
# (github.com/lhl/strix-halo-testing).
_VULKAN_SLOWDOWN = {**_CODEBOOK_SLOWDOWN, "BF16": 2.6}
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
# SYCL has no native MXFP4 kernel: gpt-oss-20b is faster with its experts on the CPU (Arc B580).
_INTEL_SLOWDOWN = {**_CODEBOOK_SLOWDOWN, "MXFP4": 3.0}

# ``flops_per_byte``: GeForce 30 to 50 have 76 to 164, Radeon 115 to 300, GB10 458 (a quarter of its 500 dense
# FP4 TFLOP/s), Apple M1 to M4 26 to 35.
CUDA = GpuEfficiency(
    read=0.85, expert_read=0.75, kv_read=0.76, attention=8.0, token_s=270e-6, op_s=3.2e-6, moe_layer_s=16e-6,
    flops=0.9, expert_flops=0.5, prefill_attention=1.3, flops_per_byte=110.0, dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
CUDA_UNIFIED = GpuEfficiency(
    read=0.85, expert_read=0.95, kv_read=0.79, attention=8.0, token_s=180e-6, op_s=3e-6, moe_layer_s=15e-6,
    flops=0.32, expert_flops=0.20, prefill_attention=0.33, flops_per_byte=458.0,
    dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
METAL = GpuEfficiency(
    read=0.87, expert_read=0.74, kv_read=0.8, attention=2.9, token_s=220e-6, op_s=7.3e-6, moe_layer_s=23e-6,
    flops=0.66, expert_flops=0.63, prefill_attention=0.46, flops_per_byte=34.0,
    dequantising=_METAL_SLOWDOWN, dequantising_flops_per_byte=34.0,
)  # fmt: skip
HIP = GpuEfficiency(
    read=0.8, expert_read=0.79, kv_read=0.45, attention=15.0, token_s=210e-6, op_s=7.1e-6, moe_layer_s=16e-6,
    flops=0.27, expert_flops=0.11, prefill_attention=0.09, flops_per_byte=150.0,
    dequantising=_CODEBOOK_SLOWDOWN,
)  # fmt: skip
VULKAN = GpuEfficiency(
    read=0.85, expert_read=0.79, kv_read=0.7, attention=14.0, token_s=230e-6, op_s=4.7e-6, moe_layer_s=14e-6,
    flops=0.177, expert_flops=0.14, prefill_attention=0.038, flops_per_byte=150.0,
    has_mla_flash_attention=False, dequantising=_VULKAN_SLOWDOWN,
)  # fmt: skip
# AMDVLK has 32 KiB of shared memory where RADV has 64, so matrix tiles are smaller
# (GPUOpen-Drivers/AMDVLK#420); with it llama.cpp of 2026 is slower than that of 2025.
AMDVLK = replace(VULKAN, flops=0.056, prefill_attention=0.05)
INTEL = GpuEfficiency(
    read=0.75, expert_read=0.43, kv_read=0.5, attention=3.0, token_s=180e-6, op_s=4.1e-6, moe_layer_s=23e-6,
    flops=0.087, expert_flops=0.08, prefill_attention=0.027, flops_per_byte=200.0,
    has_mla_flash_attention=False, dequantising=_INTEL_SLOWDOWN,
)  # fmt: skip

BY_CLASS: Mapping[str, GpuEfficiency] = {
    "cuda": CUDA, "cuda unified": CUDA_UNIFIED, "metal": METAL, "hip": HIP, "vulkan": VULKAN,
    "amdvlk": AMDVLK, "intel": INTEL, "rpc": VULKAN,
}  # fmt: skip


AMDVLK_NAMES = ("amdvlk", "amd open-source driver")  # the second is what engines print
SMALL_TILES_BUILD = 7700  # of January 2026


def efficiency_class(gpu: Gpu, backend: Backend, build: int | None = None) -> str:
    """The key of ``BY_CLASS``. ``build``: llama.cpp's number, ``None`` for a current one."""
    if gpu.vendor.lower() == "intel":
        return "intel"
    is_amdvlk = any(name in (gpu.driver or "").lower() for name in AMDVLK_NAMES)
    if is_amdvlk and backend.name == "vulkan" and (build is None or build >= SMALL_TILES_BUILD):
        return "amdvlk"
    is_unified = gpu.memory_kind is MemoryKind.UNIFIED
    return "cuda unified" if backend.name == "cuda" and is_unified else backend.name


@dataclass(frozen=True, slots=True)
class CpuEfficiency:
    """``read``: share of the RAM's bandwidth up to ``knee_bytes_per_s``; ``read_beyond``: of what is above,
    since the mesh of a server chip carries less than its many channels. ``ring_read``: instead of ``read``,
    for chips whose cores reach RAM over one ring (``RING_BUS_CPU``). ``core_values_per_s``: quantized values
    that a core multiplies; ``type_cost``: factors by type. ``layer_s`` and ``moe_layer_s``: barriers of a
    layer and of its experts. ``core_flops_per_s``: in prompts; ``without_dot_product``: the share of it that
    cores without ``DOT_PRODUCT_ISA`` reach. ``attention_flops_per_s`` and ``prefill_attention_flops_per_s``:
    of a core in attention, for one token and for many."""

    read: float
    ring_read: float
    read_beyond: float
    knee_bytes_per_s: float
    core_values_per_s: float
    layer_s: float
    moe_layer_s: float
    core_flops_per_s: float
    without_dot_product: float
    attention_flops_per_s: float
    prefill_attention_flops_per_s: float
    type_cost: Mapping[str, float] = field(default_factory=dict)


# Intel's desktop and mobile Core chips; its X series and Xeons have a mesh. A Ryzen's dies reach RAM over a
# fabric whose clock does not follow that of the DIMMs
# (techpowerup.com/review/ddr5-memory-performance-scaling-with-amd-zen-5).
RING_BUS_CPU = re.compile(r"\b(Core Ultra|Ultra \d|i[3579]-\d{4,5}(?![\dX]))")

# Instructions that multiply and accumulate 8-bit values in one step, where AVX2 alone takes three
# (ggml-cpu/arch/x86/quants.c): a Xeon E5-1620 v4 reads prompts with gpt-oss-120b at 16 tokens/s instead of
# 28.
DOT_PRODUCT_ISA = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})

CPU = CpuEfficiency(
    read=0.60,
    ring_read=0.80,
    read_beyond=0.44,
    knee_bytes_per_s=100e9,
    core_values_per_s=11e9,
    layer_s=26e-6,
    moe_layer_s=53e-6,
    core_flops_per_s=70e9,
    without_dot_product=0.55,
    attention_flops_per_s=30e9,
    prefill_attention_flops_per_s=50e9,
    type_cost=dict.fromkeys(CODEBOOK_TYPES, 2.2) | {"Q2_K": 1.3, "Q3_K": 1.3, "Q5_K": 1.2, "Q6_K": 1.2},
)
# Weights in pageable memory that are copied to a GPU during a prompt: 9 to 26 GB/s over PCIe 4 and 5,
# including ik_llama.cpp's runs (not part of the fit).
STREAM_BYTES_PER_S = 13e9
PCIE_SHARE_OF_PEAK = 0.75
CORE_BYTES_PER_S = 10e9  # what one core reads of F16 and 8-bit weights


@dataclass(frozen=True, slots=True)
class Efficiency:
    """``by_class``: keys as ``efficiency_class`` gives them. ``stream_bytes_per_s``: host weights that a GPU
    reads over its link during a prompt."""

    by_class: Mapping[str, GpuEfficiency]
    cpu: CpuEfficiency
    stream_bytes_per_s: float


FITTED = Efficiency(BY_CLASS, CPU, STREAM_BYTES_PER_S)

# The spread that covers nine of ten published runs: 0.3 is from 1 / 1.3 to 1.3 times the expected figure.
DECODE_SPREAD: Mapping[str, float] = {
    "cuda": 0.30, "cuda unified": 0.20, "metal": 0.40, "hip": 0.50, "vulkan": 0.30, "amdvlk": 0.35,
    "intel": 0.40, "rpc": 0.70, "cpu": 0.50, "gpu + cpu": 0.75,
}  # fmt: skip
PREFILL_SPREAD: Mapping[str, float] = {
    "cuda": 0.60, "cuda unified": 0.40, "metal": 0.45, "hip": 0.80, "vulkan": 1.00, "amdvlk": 1.00,
    "intel": 0.80, "rpc": 1.60, "cpu": 0.80, "gpu + cpu": 1.00,
}  # fmt: skip


def speed_range(expected: float, spread: float) -> Range:
    """``spread`` 0.3: from 1 / 1.3 to 1.3 times ``expected``."""
    return Range(expected / (1 + spread), expected, expected * (1 + spread))
