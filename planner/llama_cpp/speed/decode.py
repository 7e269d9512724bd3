"""Seconds of one decoded token: each device in turn reads its active weights and the KV of the context, plus
fixed times for kernel launches, synchronisation and changes of device."""

from collections.abc import Mapping

from domain.models.ggml import BY_NAME
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.workload import Workload, busy_devices, sum_over_devices
from planner.machine.efficiency import CpuEfficiency
from planner.machine.model import MachineModel

# A change of device in the middle of a token: copy of one row and a synchronisation.
DEVICE_CHANGE_S = 60e-6


def decode_s(workloads: Mapping[int, Workload], machine: MachineModel, tokens: int = 1) -> float | None:
    """Seconds to decode ``tokens`` at once, as drafted ones are; ``None`` if a bandwidth is not known.

    Weights and cache are read once for all of them, and the experts that any of them uses."""

    def device_s(device: int, workload: Workload) -> float | None:
        if device == HOST_ID:
            return _host_s(workload, machine, tokens)
        return _gpu_s(workload, device, machine, tokens)

    busy = busy_devices(workloads)
    devices_s = sum_over_devices(busy, device_s)
    if devices_s is None:
        return None
    changes = max(0, len(busy) - 1) + 2 * sum(workload.detached_expert_layers for workload in busy.values())
    return devices_s + DEVICE_CHANGE_S * changes


def _gpu_s(workload: Workload, device: int, machine: MachineModel, tokens: int) -> float | None:
    peak, gpu = machine.peak_bytes_per_s(device), machine.gpu_efficiency(device)
    if peak is None:
        return None
    factor = machine.dequantising_factor(device)
    expert_bytes = weighted_bytes(workload.expert_bytes, gpu.dequantising, 1 / factor) * factor
    dense_bytes = weighted_bytes(workload.dense_bytes, gpu.dequantising, 1 / factor) * factor
    weight_bytes = dense_bytes / gpu.read + expert_bytes * workload.touched_share(tokens) / gpu.expert_read
    attention_bytes = max(workload.kv_bytes / gpu.kv_read, tokens * workload.attention_flops / gpu.attention)
    launch_s = gpu.launch_s(workload.tensors, workload.recurrent_layers, workload.moe_layers)
    return (weight_bytes + attention_bytes) / peak + launch_s


def weighted_bytes(
    bytes_by_type: Mapping[str, int], slowdown: Mapping[str, float], usual: float = 1.0
) -> float:
    """Stored bytes, with those of slow types counted as more. ``usual``: of the types not in ``slowdown``."""
    return sum(size * slowdown.get(ggml_type, usual) for ggml_type, size in bytes_by_type.items())


def _host_s(workload: Workload, machine: MachineModel, tokens: int) -> float | None:
    bytes_per_s, cpu = machine.host_bytes_per_s(), machine.efficiency.cpu
    if bytes_per_s is None:
        return None
    values = tokens * (
        weighted_values(workload.dense_bytes, cpu)
        + weighted_values(workload.expert_bytes, cpu) * workload.expert_share
    )
    read_s = workload.read_bytes(tokens) / bytes_per_s
    weights_s = max(read_s, values / (machine.threads * cpu.core_values_per_s))
    attention_flops = tokens * workload.attention_flops
    attention_flops_per_s = machine.threads * cpu.attention_flops_per_s
    attention_s = max(workload.kv_bytes / bytes_per_s, attention_flops / attention_flops_per_s)
    return weights_s + attention_s + cpu.layer_s * workload.layers + cpu.moe_layer_s * workload.moe_layers


def weighted_values(bytes_by_type: Mapping[str, int], cpu: CpuEfficiency) -> float:
    """Quantized values, weighted by what multiplying their type costs a core."""
    return sum(
        size * BY_NAME[ggml_type].block / BY_NAME[ggml_type].block_bytes * cpu.type_cost.get(ggml_type, 1.0)
        for ggml_type, size in bytes_by_type.items()
        if ggml_type in BY_NAME
    )
