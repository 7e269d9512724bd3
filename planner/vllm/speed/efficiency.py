"""The share of their data sheets that GPUs reach under vLLM, and what a layer costs beyond its bytes.

Each term has one meaning and holds for every model and product of its class. They are fitted to published
runs without speculation (tests/captures/bench-vllm.json, each with its source); bench/speed_errors.py prints
the errors, and those of fits without a fifth of the boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.machine.hardware import Gpu, MemoryKind
from planner.machine.gpu_efficiency import CUDA, CUDA_UNIFIED, HIP


@dataclass(frozen=True, slots=True)
class VllmEfficiency:
    """``read``: share of the bandwidth that dense weights and the KV cache are read with, ``expert_read``
    experts. ``layer_s``: a layer's kernels, one after another, from a CUDA graph; ``moe_layer_s`` what
    choosing, sorting and gathering experts adds, ``recurrent_layer_s`` a recurrent state. ``reduce_s``: one
    of the two sums of a layer over ranks, over PCIe; ``nvlink_reduce_s`` over NVLink. ``token_s``: of a step,
    scheduling and sampling; ``sequence_s`` for each sequence in it.

    ``flops``: share of the FP16 rate in dense matrices, ``expert_flops`` in experts, ``attention_flops`` in
    the attention of a prompt. ``flops_per_byte``: FP16 operations per byte of bandwidth, of a GPU whose rate
    is not known. ``decode_spread`` and ``prefill_spread``: cover nine of ten runs of boxes that were left out
    of the fit, as ``planner.machine.efficiency`` has them."""

    read: float
    expert_read: float
    layer_s: float
    moe_layer_s: float
    recurrent_layer_s: float
    reduce_s: float
    nvlink_reduce_s: float
    token_s: float
    sequence_s: float
    flops: float
    expert_flops: float
    attention_flops: float
    flops_per_byte: float
    decode_spread: float
    prefill_spread: float


CARDS = VllmEfficiency(
    read=0.94, expert_read=0.57, layer_s=45e-6, moe_layer_s=38e-6, recurrent_layer_s=38e-6,
    reduce_s=24e-6, nvlink_reduce_s=10e-6, token_s=400e-6, sequence_s=45e-6,
    flops=0.8, expert_flops=0.45, attention_flops=0.4, flops_per_byte=CUDA.flops_per_byte,
    decode_spread=0.5, prefill_spread=0.6,
)  # fmt: skip
UNIFIED = replace(
    CARDS, read=0.63, expert_read=0.97, layer_s=35e-6, moe_layer_s=54e-6, recurrent_layer_s=42e-6,
    flops=0.75, expert_flops=0.9, flops_per_byte=CUDA_UNIFIED.flops_per_byte,
)  # fmt: skip
OTHERS = replace(
    CARDS, read=0.64, expert_read=0.082, layer_s=27e-6, moe_layer_s=39e-6, recurrent_layer_s=29e-6,
    flops=0.48, expert_flops=0.4, flops_per_byte=HIP.flops_per_byte, decode_spread=1.5, prefill_spread=0.8,
)  # fmt: skip
BY_CLASS: Mapping[str, VllmEfficiency] = {"cuda": CARDS, "cuda unified": UNIFIED, "amd, intel": OTHERS}


def efficiency_class(gpus: Sequence[Gpu]) -> str:
    """A key of ``BY_CLASS``; ranks are alike. The kernels of AMD's and Intel's cards are mostly Triton's."""
    gpu = gpus[0]
    if gpu.vendor.lower() in ("amd", "intel"):
        return "amd, intel"
    return "cuda unified" if gpu.memory_kind is MemoryKind.UNIFIED else "cuda"
