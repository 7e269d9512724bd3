"""Speed of one ``vllm serve`` command line: ranks read their shares of the weights at the same time, and
reduce twice per layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from domain.hardware import Gpu, Hardware
from domain.model import ModelShape
from domain.plan import Range, Speed
from planner.machine.efficiency import CORE_BYTES_PER_S, CPU, PCIE_SHARE_OF_PEAK, speed_range
from planner.machine.gpu_efficiency import CUDA
from planner.machine.threads import usable_cpus
from planner.vllm.kv_blocks import KvBlockLayout
from planner.vllm.model_config import Config, LayerKind
from planner.vllm.weights.tensors import EMBEDDING, ENCODERS, EXPERTS, OUTPUT, loaded_tensors

EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts")
EXPERT_COUNT = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")

# Share of a GPU's bandwidth that one stream's matrices reach. NVFP4: 4.1 tokens/s of 40.6 GB on a GB10
# (tests/captures/bench.json, row 486). The others are llama.cpp's on the same cards, for lack of published
# runs that name their bytes.
READ_EFFICIENCY = {"NVFP4": 0.61, "MXFP4": 0.75, "AWQ": 0.75, "GPTQ": 0.75, "INT4": 0.75}
DEFAULT_READ_EFFICIENCY = 0.85
# Bits per weight including scales, for types whose packed words hide the number of weights.
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
DEFAULT_BITS = 16.0
FLOPS_EFFICIENCY = 0.5

START_S = 35.0  # imports, profiling and graphs: 25 to 60 s measured on a CPU
TOKEN_S = 400e-6  # scheduling and sampling
# With CUDA graphs: a layer's kernels one after another, and those that choose and gather experts. GLM-4.7
# Flash in 4 bits makes 163 tokens/s on an RTX 5090 (row 392), of which the bytes explain a third.
LAYER_S = 40e-6
MOE_LAYER_S = 45e-6
# Latency of a small all-reduce, of which there are two per layer: about what NCCL's all_reduce_perf shows for
# a few KiB on two ranks, over NVLink and over PCIe.
REDUCE_NVLINK_S, REDUCE_PCIE_S = 10e-6, 25e-6

DECODE_SPREAD, PREFILL_SPREAD, CPU_SPREAD = 0.6, 1.0, 1.0  # few published runs to compare with
# Relative to NVIDIA. RDNA has few tuned kernels: 7.5 tokens/s of gpt-oss-120b on a Strix Halo where llama.cpp
# reaches 50 (github.com/vllm-project/vllm/issues/34579).
VENDOR_FACTOR = {"nvidia": 1.0, "amd": 0.15, "intel": 0.15}


@dataclass(frozen=True, slots=True)
class Workload:
    """Of all ranks together. A token reads ``dense_bytes`` and ``expert_share`` of ``expert_bytes``."""

    quant: str
    dense_bytes: float
    expert_bytes: float
    expert_share: float
    layers: int
    hidden_size: int

    @property
    def active_bytes(self) -> float:
        return self.dense_bytes + self.expert_share * self.expert_bytes

    @property
    def active_values(self) -> float:
        """The number of weights that a token is multiplied with."""
        return 8 * self.active_bytes / PACKED_BITS.get(self.quant, DEFAULT_BITS)


def workload_of(shape: ModelShape, config: Config, quant: str) -> Workload:
    """From a safetensors header. A shape without tensors counts as dense."""
    dense_bytes = expert_bytes = 0
    groups = loaded_tensors(shape, config)
    is_tied = not any(OUTPUT.search(group.name) for group in groups)
    for group in groups:
        if EXPERTS.search(group.name):
            expert_bytes += group.size_bytes
        elif (is_tied or not EMBEDDING.search(group.name)) and not ENCODERS.search(group.name):
            dense_bytes += group.size_bytes
    dense_bytes = dense_bytes or shape.file_bytes - expert_bytes
    used, count = _first_number(shape, EXPERTS_USED), _first_number(shape, EXPERT_COUNT)
    share = min(1.0, used / count) if used and count else 1.0
    return Workload(quant.upper(), dense_bytes, expert_bytes, share, config.layers, config.hidden_size)


def _first_number(shape: ModelShape, names: Sequence[str]) -> float | None:
    for name in names:
        for key in (f"{shape.architecture}.{name}", f"{shape.architecture}.text_config.{name}"):
            value = shape.metadata.get(key)
            if isinstance(value, (int, float)) and value > 0:
                return float(value)
    return None


def predict(
    workload: Workload,
    ranks: tuple[int, ...],
    hardware: Hardware,
    *,
    kv_blocks: KvBlockLayout,
    depth_tokens: int,
    file_bytes: int,
) -> Speed:
    """Nothing is predicted if a bandwidth is not known, nor prefill on a CPU."""
    gpus = [hardware.gpus[index] for index in ranks]
    decode_s = step_s(workload, gpus, hardware, kv_blocks=kv_blocks, depth_tokens=depth_tokens)
    prefill = prefill_speed(workload, gpus)
    disk_bytes_per_s = hardware.storage.read_bytes_per_s if hardware.storage else None
    return Speed(
        decode_tokens_per_s=speed_range(1 / decode_s, _decode_spread(gpus)) if decode_s else None,
        prefill_tokens_per_s=None if prefill is None else _scale(prefill, _vendor_factor(gpus)),
        load_s=START_S + file_bytes / disk_bytes_per_s if disk_bytes_per_s else None,
    )


def step_s(
    workload: Workload,
    gpus: Sequence[Gpu],
    hardware: Hardware,
    *,
    kv_blocks: KvBlockLayout,
    depth_tokens: int,
    sequences: int = 1,
) -> float | None:
    """Seconds of a step that gives each of ``sequences`` a token: it reads the experts that any of them uses,
    and does the arithmetic of all."""
    batch = replace(workload, expert_share=1.0 - (1.0 - workload.expert_share) ** sequences)
    kv_bytes = sequences * kv_read_bytes(kv_blocks, depth_tokens)
    if not gpus:
        bytes_per_s = _host_bytes_per_s(hardware)
        return None if bytes_per_s is None else (batch.active_bytes + kv_bytes) / bytes_per_s
    weights = decode_speed(batch, gpus)
    prefill = prefill_speed(workload, gpus)
    if weights is None or prefill is None:
        return None
    bandwidth = min(gpu.bandwidth_bytes_per_s or 0.0 for gpu in gpus)
    read_s = 1 / weights.expected + kv_bytes / (bandwidth * DEFAULT_READ_EFFICIENCY)
    return max(read_s, sequences / prefill.expected) / _vendor_factor(gpus)


def kv_read_bytes(kv_blocks: KvBlockLayout, depth_tokens: int) -> float:
    """Bytes that one sequence reads on one rank."""
    total_bytes = 0.0
    for kind, count in kv_blocks.groups:
        layers = count * kv_blocks.group_layers
        if kind is LayerKind.STATE:
            total_bytes += layers * kv_blocks.page_bytes
        else:
            is_window = kind is LayerKind.WINDOW
            tokens = min(depth_tokens, kv_blocks.window) if is_window else depth_tokens
            total_bytes += layers * kv_blocks.page_bytes / kv_blocks.block_tokens * tokens
    return total_bytes


def decode_speed(workload: Workload, gpus: Sequence[Gpu]) -> Range | None:
    """Of one stream with an empty context, on NVIDIA's kernels; ``None`` if a rank's bandwidth is not
    known."""
    bandwidths = [gpu.bandwidth_bytes_per_s for gpu in gpus if gpu.bandwidth_bytes_per_s]
    if not gpus or len(bandwidths) < len(gpus):
        return None
    efficiency = READ_EFFICIENCY.get(workload.quant, DEFAULT_READ_EFFICIENCY)
    read_s = workload.active_bytes / len(gpus) / (min(bandwidths) * efficiency)
    layer_s = LAYER_S + (MOE_LAYER_S if workload.expert_bytes else 0.0)
    if len(gpus) > 1:
        layer_s += 2 * (REDUCE_NVLINK_S if _have_nvlink(gpus) else REDUCE_PCIE_S)
    return speed_range(1 / (read_s + layer_s * workload.layers + TOKEN_S), DECODE_SPREAD)


def prefill_speed(workload: Workload, gpus: Sequence[Gpu]) -> Range | None:
    """Of a long prompt, on NVIDIA's kernels; ``None`` if a rank's bandwidth is not known."""
    flops_rates = [
        gpu.fp16_flops_per_s or gpu.bandwidth_bytes_per_s * CUDA.flops_per_byte
        for gpu in gpus
        if gpu.bandwidth_bytes_per_s
    ]
    if not gpus or len(flops_rates) < len(gpus):
        return None
    ranks = len(gpus)
    arithmetic_s = 2 * workload.active_values / (ranks * min(flops_rates) * FLOPS_EFFICIENCY)
    links = [gpu.pcie_bytes_per_s for gpu in gpus if gpu.pcie_bytes_per_s]
    reduce_s = 0.0
    if ranks > 1 and links and not _have_nvlink(gpus):  # each rank sends and receives its share of each sum
        row_bytes = 2 * workload.layers * workload.hidden_size * 2
        reduce_s = 2 * (ranks - 1) / ranks * row_bytes / (min(links) * PCIE_SHARE_OF_PEAK)
    return speed_range(1 / (arithmetic_s + reduce_s), PREFILL_SPREAD)


def _have_nvlink(gpus: Sequence[Gpu]) -> bool:
    """Whether each rank has NVLink to the next."""
    return all(
        any(peer.id == after.id and peer.nvlinks for peer in gpu.peers) for gpu, after in pairwise(gpus)
    )


def _decode_spread(gpus: Sequence[Gpu]) -> float:
    return DECODE_SPREAD if gpus else CPU_SPREAD


def _vendor_factor(gpus: Sequence[Gpu]) -> float:
    return min(VENDOR_FACTOR.get(gpu.vendor.lower(), 1.0) for gpu in gpus)


def _scale(speed: Range, factor: float) -> Range:
    return Range(speed.low * factor, speed.expected * factor, speed.high * factor)


def _host_bytes_per_s(hardware: Hardware) -> float | None:
    bandwidth = hardware.memory.bandwidth_bytes_per_s
    if bandwidth is None:
        return None
    return min(bandwidth * CPU.read, usable_cpus(hardware.cpu) * CORE_BYTES_PER_S)
