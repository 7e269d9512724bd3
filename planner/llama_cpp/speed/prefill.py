"""Seconds of one token of a prompt: arithmetic, the weights once per ubatch, and host weights that a GPU
reads over its link."""

from collections.abc import Mapping

from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.decode import weighted_bytes
from planner.llama_cpp.speed.workload import Workload, busy_devices, sum_over_devices
from planner.machine.efficiency import DOT_PRODUCT_ISA, PCIE_SHARE_OF_PEAK
from planner.machine.gpu_efficiency import GpuEfficiency
from planner.machine.model import MachineModel

IDLE_TILE_TOKENS = 12  # of each expert in a ubatch, on average: half of a tile of columns
MIN_OFFLOAD_TOKENS = 32  # from this batch on ggml's back ends copy host weights to a GPU


def prefill_s(
    workloads: Mapping[int, Workload], machine: MachineModel, cparams: ContextParams
) -> float | None:
    """Seconds per token; ``None`` if a bandwidth is not known."""

    def device_s(device: int, workload: Workload) -> float | None:
        if device == HOST_ID:
            return _host_weights_s(workload, machine, cparams)
        return _gpu_s(workload, device, machine, cparams)

    return sum_over_devices(busy_devices(workloads), device_s) or None


def _gpu_s(workload: Workload, device: int, machine: MachineModel, cparams: ContextParams) -> float | None:
    peak, gpu = machine.peak_bytes_per_s(device), machine.gpu_efficiency(device)
    if peak is None:
        return None
    expert_bytes = sum(workload.expert_bytes.values()) * workload.touched_share(cparams.ubatch)
    weight_bytes = sum(workload.dense_bytes.values()) / gpu.read + expert_bytes / gpu.expert_read
    ubatch_s = weight_bytes / peak + gpu.launch_s(
        workload.tensors, workload.recurrent_layers, workload.moe_layers
    )
    return ubatch_s / cparams.ubatch + _arithmetic_s(workload, device, machine, peak, cparams.ubatch)


def _arithmetic_s(workload: Workload, device: int, machine: MachineModel, peak: float, ubatch: int) -> float:
    gpu = machine.gpu_efficiency(device)
    flops_per_s = machine.flops_per_s(device) or peak * gpu.flops_per_byte
    flops = workload.dense_flops * _slowdown(workload.dense_bytes, gpu) / gpu.flops
    flops += _tiled_expert_flops(workload, ubatch) * _slowdown(workload.expert_bytes, gpu) / gpu.expert_flops
    has_no_kernel = workload.is_mla and not gpu.has_mla_flash_attention
    attention_share = gpu.flops if has_no_kernel else gpu.prefill_attention
    return (flops + workload.prefill_attention_flops / attention_share) / flops_per_s


def _tiled_expert_flops(workload: Workload, ubatch: int) -> float:
    """With the idle part of each expert's last tile."""
    if not workload.expert_flops:  # also where a header names experts and uses none
        return 0.0
    tokens_per_expert = ubatch * workload.expert_share / workload.touched_share(ubatch)
    return workload.expert_flops * (1 + IDLE_TILE_TOKENS / tokens_per_expert)


def _slowdown(bytes_by_type: Mapping[str, int], gpu: GpuEfficiency) -> float:
    return weighted_bytes(bytes_by_type, gpu.prefill_slowdown) / (sum(bytes_by_type.values()) or 1)


def _host_weights_s(workload: Workload, machine: MachineModel, cparams: ContextParams) -> float | None:
    """Host weights are multiplied by the cores, or by a GPU that reads them over its link, as the engine
    does."""
    gpus = (number for number, device in enumerate(machine.devices) if device.backend.offloads_host_weights)
    gpu = next(gpus, None)
    if gpu is None or cparams.ubatch < MIN_OFFLOAD_TOKENS or machine.devices[gpu].is_unified:
        return _cores_s(workload, machine, cparams.ubatch)
    peak, link_bytes_per_s = machine.peak_bytes_per_s(gpu), machine.devices[gpu].gpu.pcie_bytes_per_s
    if peak is None:
        return None
    stream_bytes_per_s = machine.efficiency.stream_bytes_per_s
    if link_bytes_per_s is not None:
        stream_bytes_per_s = min(stream_bytes_per_s, link_bytes_per_s * PCIE_SHARE_OF_PEAK)
    stream_s = workload.read_bytes(cparams.ubatch) / stream_bytes_per_s
    return stream_s / cparams.ubatch + _arithmetic_s(workload, gpu, machine, peak, cparams.ubatch)


def _cores_s(workload: Workload, machine: MachineModel, ubatch: int) -> float | None:
    bytes_per_s, cpu = machine.host_bytes_per_s(), machine.efficiency.cpu
    if bytes_per_s is None:
        return None
    isa = machine.hardware.cpu.isa
    isa_share = cpu.without_dot_product if isa and DOT_PRODUCT_ISA.isdisjoint(isa) else 1.0
    if machine.is_arm_board:
        isa_share = cpu.board_flops
    core_s = (workload.dense_flops + workload.expert_flops) / (cpu.core_flops_per_s * isa_share)
    core_s += workload.prefill_attention_flops / cpu.prefill_attention_flops_per_s
    return workload.read_bytes(ubatch) / bytes_per_s / ubatch + core_s / machine.batch_threads
