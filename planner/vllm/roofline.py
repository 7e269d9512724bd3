"""Tokens per second of vLLM: ranks read their shares at the same time and add up twice a layer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from domain.hardware import Gpu
from domain.model import ModelShape
from domain.plan import Range
from planner.llama_cpp.speed.prefill import PCIE_OF_PEAK
from planner.llama_cpp.speed.roofline import range_of
from planner.machine.efficiency import CUDA

EXPERTS = re.compile(r"\.experts?\.|_experts")
LOOKED_UP = re.compile(r"(embed_tokens|wte|word_embeddings)\.weight$")
SENSES = re.compile(r"(^|\.)(visual|vision_\w+|audio_\w+|image_\w+)\.")  # towers that no word passes
EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts")
EXPERTS_ALL = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")

# Share of a GPU's bandwidth that one stream's matrices reach. NVFP4: 4.1 tokens/s of 40.6 GB on a GB10
# (tests/captures/bench.json, row 486). The others are llama.cpp's on the same cards: nothing better is
# published with the bytes beside it.
READ = {"NVFP4": 0.61, "MXFP4": 0.75, "AWQ": 0.75, "GPTQ": 0.75, "INT4": 0.75}
PLAIN_READ = 0.85
# Bits a weight with its scales, where they are packed into words that hide their count.
PACKED_BITS = {
    "NVFP4": 4.5,
    "MXFP4": 4.25,
    "AWQ": 4.25,
    "GPTQ": 4.25,
    "INT4": 4.25,
    "FP8": 8.0,
    "INT8": 8.0,
    "F32": 32.0,
}
PLAIN_BITS = 16.0
TOKEN_S = 400e-6  # scheduling and sampling
# With CUDA graphs: a layer's kernels one after another, and those that choose and gather experts. GLM-4.7
# Flash in 4 bits makes 163 tokens/s on an RTX 5090 (row 392), of which the bytes explain a third.
LAYER_S = 40e-6
MOE_LAYER_S = 45e-6
# Two sums over all ranks a layer: the latency of a small one, about what NCCL's
# all_reduce_perf shows for a few KiB on two ranks, over NVLink and over PCIe.
REDUCE_NVLINK_S, REDUCE_PCIE_S = 10e-6, 25e-6
OF_FLOPS = 0.5
DECODE_SPREAD, PREFILL_SPREAD = 0.6, 1.0  # a handful of published runs is all there is to compare with


@dataclass(frozen=True, slots=True)
class Work:
    """Of all ranks together. A token reads ``dense_bytes`` and ``share`` of ``expert_bytes``."""

    quant: str
    dense_bytes: float
    expert_bytes: float
    share: float
    layers: int
    hidden: int

    @property
    def active_bytes(self) -> float:
        return self.dense_bytes + self.share * self.expert_bytes

    @property
    def active_values(self) -> float:
        """Weights that a token is multiplied with."""
        return 8 * self.active_bytes / PACKED_BITS.get(self.quant, PLAIN_BITS)


def work_of(shape: ModelShape, quant: str, *, layers: int, hidden: int) -> Work:
    """From a header of safetensors. A model whose tensors are not told apart reads all of its bytes."""
    dense = experts = 0
    is_tied = not any("lm_head" in tensor.name for tensor in shape.tensors)
    for tensor in shape.tensors:
        if EXPERTS.search(tensor.name):
            experts += tensor.size_bytes
        elif (is_tied or not LOOKED_UP.search(tensor.name)) and not SENSES.search(tensor.name):
            dense += tensor.size_bytes
    used, every = _first(shape, EXPERTS_USED), _first(shape, EXPERTS_ALL)
    share = min(1.0, used / every) if used and every else 1.0
    return Work(quant.upper(), dense or shape.file_bytes - experts, experts, share, layers, hidden)


def _first(shape: ModelShape, names: Sequence[str]) -> float | None:
    for name in names:
        for key in (f"{shape.architecture}.{name}", f"{shape.architecture}.text_config.{name}"):
            value = shape.metadata.get(key)
            if isinstance(value, (int, float)) and value > 0:
                return float(value)
    return None


def decode(work: Work, gpus: Sequence[Gpu]) -> Range | None:
    """Of one stream at the begin of its context. ``gpus`` are the ranks; ``None`` where the bandwidth of
    one is not known."""
    rates = [gpu.bandwidth_bytes_per_s for gpu in gpus if gpu.bandwidth_bytes_per_s]
    if not gpus or len(rates) < len(gpus):
        return None
    read_s = work.active_bytes / len(gpus) / (min(rates) * READ.get(work.quant, PLAIN_READ))
    layer_s = LAYER_S + (MOE_LAYER_S if work.expert_bytes else 0.0)
    if len(gpus) > 1:
        layer_s += 2 * (REDUCE_NVLINK_S if _are_linked(gpus) else REDUCE_PCIE_S)
    return range_of(1 / (read_s + layer_s * work.layers + TOKEN_S), DECODE_SPREAD)


def prefill(work: Work, gpus: Sequence[Gpu]) -> Range | None:
    """Of a long prompt. ``None`` where the bandwidth of a rank is not known."""
    rates = [
        gpu.fp16_flops_per_s or gpu.bandwidth_bytes_per_s * CUDA.flops_per_byte
        for gpu in gpus
        if gpu.bandwidth_bytes_per_s
    ]
    if not gpus or len(rates) < len(gpus):
        return None
    count = len(gpus)
    arithmetic_s = 2 * work.active_values / (count * min(rates) * OF_FLOPS)
    links = [gpu.pcie_bytes_per_s for gpu in gpus if gpu.pcie_bytes_per_s]
    summed_s = 0.0
    if count > 1 and links and not _are_linked(gpus):  # each rank sends and gets its share of each sum
        row_bytes = 2 * work.layers * work.hidden * 2
        summed_s = 2 * (count - 1) / count * row_bytes / (min(links) * PCIE_OF_PEAK)
    return range_of(1 / (arithmetic_s + summed_s), PREFILL_SPREAD)


def _are_linked(gpus: Sequence[Gpu]) -> bool:
    """Whether each rank has NVLink to the next."""
    return all(
        any(peer.id == after.id and peer.nvlinks for peer in gpu.peers) for gpu, after in pairwise(gpus)
    )
