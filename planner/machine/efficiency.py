"""The share of their data sheets that cores and links reach, and how far off predictions may be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.launches.plan import Range
from planner.machine.gpu_efficiency import BY_CLASS, CODEBOOK_TYPES, GpuEfficiency


@dataclass(frozen=True, slots=True)
class CpuEfficiency:
    """``read``: share of the RAM's bandwidth up to ``knee_bytes_per_s``; ``read_beyond``: of what is above,
    since the mesh of a server chip carries less than its many channels. Instead of ``read``: ``ring_read``
    for chips whose cores reach RAM over one ring (``RING_BUS_CPU``), ``board_read`` for Arm boards, of which
    the peak of their LPDDR is all that is known. ``core_values_per_s``: quantized values that a core
    multiplies; ``type_cost``: factors by type. ``layer_s`` and ``moe_layer_s``: barriers of a layer and of
    its experts. ``core_flops_per_s``: in prompts; ``without_dot_product``: the share of it that cores without
    ``DOT_PRODUCT_ISA`` reach, ``board_flops`` those of Arm boards. ``attention_flops_per_s`` and
    ``prefill_attention_flops_per_s``: of a core in attention, for one token and for many."""

    read: float
    ring_read: float
    board_read: float
    read_beyond: float
    knee_bytes_per_s: float
    core_values_per_s: float
    layer_s: float
    moe_layer_s: float
    core_flops_per_s: float
    without_dot_product: float
    board_flops: float
    attention_flops_per_s: float
    prefill_attention_flops_per_s: float
    type_cost: Mapping[str, float] = field(default_factory=dict)


# Intel's desktop and mobile Core chips; its X series and Xeons have a mesh. A Ryzen's dies reach RAM over a
# fabric whose clock does not follow that of the DIMMs
# (techpowerup.com/review/ddr5-memory-performance-scaling-with-amd-zen-5).
RING_BUS_CPU = re.compile(r"\b(Core Ultra|Ultra \d|i[3579]-\d{4,5}(?![\dX]))")

# Arm's chips with the memory of a phone: not Apple's, not servers.
ARM_ISA = frozenset({"asimddp", "i8mm", "sve"})
ARM_SERVER_OR_MAC = re.compile(r"Apple|Ampere|Neoverse|Graviton|Grace|GB10|Altra")

# Instructions that multiply and accumulate 8-bit values in one step, where AVX2 alone takes three
# (ggml-cpu/arch/x86/quants.c): a Xeon E5-1620 v4 reads prompts with gpt-oss-120b at 16 tokens/s instead of
# 28.
DOT_PRODUCT_ISA = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})

CPU = CpuEfficiency(
    read=0.60,
    ring_read=0.80,
    board_read=0.40,
    read_beyond=0.44,
    knee_bytes_per_s=100e9,
    core_values_per_s=11e9,
    layer_s=26e-6,
    moe_layer_s=53e-6,
    core_flops_per_s=70e9,
    without_dot_product=0.55,
    board_flops=0.52,
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
    "cuda": 0.40, "cuda unified": 0.20, "metal": 0.40, "hip": 0.45, "hip unified": 0.50, "hip gcn": 0.60,
    "vulkan": 0.50, "vulkan simd": 0.60, "vulkan unified": 0.35, "vulkan nvidia": 0.40, "amdvlk": 0.35,
    "intel": 0.45, "rpc": 0.70, "cpu": 0.50, "gpu + cpu": 0.75,
}  # fmt: skip
PREFILL_SPREAD: Mapping[str, float] = {
    "cuda": 0.80, "cuda unified": 0.45, "metal": 0.45, "hip": 0.80, "hip unified": 0.80, "hip gcn": 0.80,
    "vulkan": 1.00, "vulkan simd": 1.00, "vulkan unified": 1.00, "vulkan nvidia": 0.80, "amdvlk": 1.00,
    "intel": 0.80, "rpc": 1.60, "cpu": 0.80, "gpu + cpu": 1.20,
}  # fmt: skip


def speed_range(expected: float, spread: float) -> Range:
    """``spread`` 0.3: from 1 / 1.3 to 1.3 times ``expected``."""
    return Range(expected / (1 + spread), expected, expected * (1 + spread))
