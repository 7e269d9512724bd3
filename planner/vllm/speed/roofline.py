"""Speed of one ``vllm serve`` command line: ranks read their shares of the weights at the same time, and
reduce twice per layer."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from domain.launches.plan import Range, Speed
from domain.machine.hardware import Gpu, Hardware
from planner.machine.efficiency import CORE_BYTES_PER_S, CPU, PCIE_SHARE_OF_PEAK, speed_range
from planner.machine.threads import usable_cpus
from planner.vllm.memory.kv_blocks import KvBlockLayout
from planner.vllm.model_config import LayerKind
from planner.vllm.speed.efficiency import BY_CLASS, VllmEfficiency, efficiency_class
from planner.vllm.speed.workload import Workload

START_S = 35.0  # imports, profiling and graphs: 25 to 60 s measured on a CPU
CPU_SPREAD = 1.0
# Of the core that launches: 0.37 ms a layer with Llama-3.1-8B in 4 bits on an RTX 4090, 0.5 with Qwen3-14B on
# an A100, 1.05 with the experts of gpt-oss-120b on a GB10 (rows 110, 132 and 149 of bench-vllm.json).
EAGER_LAYER_S, EAGER_MOE_LAYER_S = 0.4e-3, 0.6e-3
VALUE_BYTES = 2  # of an activation that ranks sum
Classes = Mapping[str, VllmEfficiency]


def predict(
    workload: Workload,
    ranks: tuple[int, ...],
    hardware: Hardware,
    *,
    kv_blocks: KvBlockLayout,
    depth_tokens: int,
    batch_tokens: int,
    file_bytes: int,
    is_eager: bool = False,
) -> Speed:
    """``batch_tokens``: the most tokens of a prompt in one step. Nothing is predicted if a bandwidth is not
    known, nor prefill on a CPU."""
    gpus = [hardware.gpus[index] for index in ranks]
    decode_s = step_s(
        workload, gpus, hardware, kv_blocks=kv_blocks, depth_tokens=depth_tokens, is_eager=is_eager
    )
    prefill = prefill_speed(workload, gpus, prompt_tokens=batch_tokens, batch_tokens=batch_tokens)
    disk_bytes_per_s = hardware.storage.read_bytes_per_s if hardware.storage else None
    return Speed(
        decode_tokens_per_s=speed_range(1 / decode_s, decode_spread(gpus)) if decode_s else None,
        prefill_tokens_per_s=prefill,
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
    is_eager: bool = False,
    classes: Classes = BY_CLASS,
) -> float | None:
    """Seconds of a step that gives each of ``sequences`` a token: it reads the experts that any of them uses,
    and does the arithmetic of all. ``is_eager``: without CUDA graphs a core launches each kernel."""
    kv_bytes = sequences * kv_read_bytes(kv_blocks, depth_tokens)
    if not gpus:
        bytes_per_s = _host_bytes_per_s(hardware)
        read_bytes = workload.dense_bytes + workload.share_of_experts(sequences) * workload.expert_bytes
        return None if bytes_per_s is None else (read_bytes + kv_bytes) / bytes_per_s
    if not _are_known(gpus):
        return None
    efficiency = classes[efficiency_class(gpus)]
    kv_s = kv_bytes / (_bandwidth(gpus) * efficiency.read)
    fixed_s = efficiency.token_s + efficiency.sequence_s * sequences
    launched_s = workload.layers * EAGER_LAYER_S + workload.moe_layers * EAGER_MOE_LAYER_S
    pass_s = kv_s + _pass_s(workload, gpus, efficiency, sequences)
    return fixed_s + (max(pass_s, launched_s) if is_eager else pass_s)


def prefill_speed(
    workload: Workload,
    gpus: Sequence[Gpu],
    *,
    prompt_tokens: int,
    batch_tokens: int,
    classes: Classes = BY_CLASS,
) -> Range | None:
    """Of a prompt that is read in steps of at most ``batch_tokens``: each reads all weights. ``None`` if a
    rank's bandwidth is not known."""
    if not gpus or not _are_known(gpus):
        return None
    efficiency = classes[efficiency_class(gpus)]
    tokens = min(prompt_tokens, batch_tokens)
    steps = prompt_tokens / tokens
    attention = 4 * (
        workload.attention_width * prompt_tokens / 2
        + workload.window_width * min(workload.window, prompt_tokens / 2)
    )  # operations of an average token
    attention_s = attention / (len(gpus) * _flops(gpus, efficiency) * efficiency.attention_flops)
    took_s = steps * (efficiency.token_s + _pass_s(workload, gpus, efficiency, tokens))
    return speed_range(prompt_tokens / (took_s + prompt_tokens * attention_s), efficiency.prefill_spread)


def _pass_s(workload: Workload, gpus: Sequence[Gpu], efficiency: VllmEfficiency, tokens: int) -> float:
    """Of ``tokens`` through all layers, without attention: bytes, arithmetic, sums over ranks, launches."""
    ranks, bandwidth = len(gpus), _bandwidth(gpus)
    expert_bytes = workload.share_of_experts(tokens) * workload.expert_bytes
    read_s = (workload.dense_bytes / efficiency.read + expert_bytes / efficiency.expert_read) / bandwidth
    operations = (
        2
        * tokens
        * (
            workload.dense_values / efficiency.flops
            + workload.expert_share * workload.expert_values / efficiency.expert_flops
        )
    )
    layers_s = (
        workload.layers * efficiency.layer_s
        + workload.moe_layers * efficiency.moe_layer_s
        + workload.recurrent_layers * efficiency.recurrent_layer_s
    )
    own_s = (read_s + operations / _flops(gpus, efficiency)) / ranks
    return own_s + layers_s + 2 * workload.layers * _reduce_s(workload, gpus, efficiency, tokens)


def _reduce_s(workload: Workload, gpus: Sequence[Gpu], efficiency: VllmEfficiency, tokens: int) -> float:
    """Of one sum: each rank sends and receives its share of it."""
    ranks = len(gpus)
    if ranks == 1:
        return 0.0
    if _have_nvlink(gpus):
        return efficiency.nvlink_reduce_s
    links = [gpu.pcie_bytes_per_s for gpu in gpus if gpu.pcie_bytes_per_s]
    if not links:
        return efficiency.reduce_s
    sent_bytes = 2 * (ranks - 1) / ranks * tokens * workload.hidden_size * VALUE_BYTES
    return efficiency.reduce_s + sent_bytes / (min(links) * PCIE_SHARE_OF_PEAK)


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


def decode_spread(gpus: Sequence[Gpu]) -> float:
    return BY_CLASS[efficiency_class(gpus)].decode_spread if gpus else CPU_SPREAD


def _are_known(gpus: Sequence[Gpu]) -> bool:
    return all(gpu.bandwidth_bytes_per_s for gpu in gpus)


def _bandwidth(gpus: Sequence[Gpu]) -> float:
    return min(gpu.bandwidth_bytes_per_s or 0.0 for gpu in gpus)


def _flops(gpus: Sequence[Gpu], efficiency: VllmEfficiency) -> float:
    return min(
        gpu.fp16_flops_per_s or (gpu.bandwidth_bytes_per_s or 0.0) * efficiency.flops_per_byte for gpu in gpus
    )


def _have_nvlink(gpus: Sequence[Gpu]) -> bool:
    """Whether each rank has NVLink to the next."""
    return all(
        any(peer.id == after.id and peer.nvlinks for peer in gpu.peers) for gpu, after in pairwise(gpus)
    )


def _host_bytes_per_s(hardware: Hardware) -> float | None:
    bandwidth = hardware.memory.bandwidth_bytes_per_s
    if bandwidth is None:
        return None
    return min(bandwidth * CPU.read, usable_cpus(hardware.cpu) * CORE_BYTES_PER_S)
