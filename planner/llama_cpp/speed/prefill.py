"""Seconds of one token of a prompt: arithmetic, the weights once a ubatch, and host weights that a GPU pulls
over its link."""

from collections.abc import Mapping

from planner.llama_cpp.context_params import ContextParams
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.decode import read
from planner.llama_cpp.speed.traffic import Traffic
from planner.machine import efficiency
from planner.machine.efficiency import GpuEfficiency
from planner.machine.model import MachineModel

PCIE_OF_PEAK = 0.75
LEAST_OFFLOADED_TOKENS = 32  # ggml's back ends take host weights from this batch on


def prefill_s(traffic: Mapping[int, Traffic], box: MachineModel, run: ContextParams) -> float | None:
    """Seconds per token; ``None`` where a bandwidth is not known."""
    total = 0.0
    for device, one in traffic.items():
        if one.is_idle:
            continue
        part = _host(one, box, run) if device == HOST_ID else _gpu(one, device, box, run)
        if part is None:
            return None
        total += part
    return total or None


def _gpu(one: Traffic, device: int, box: MachineModel, run: ContextParams) -> float | None:
    peak, reach = box.peak(device), box.ceilings(device)
    if peak is None:
        return None
    weights = sum(one.dense.values()) / reach.read
    weights += sum(one.experts.values()) * one.touched(run.ubatch) / reach.expert_read
    launches = reach.op_s * one.tensors + reach.moe_layer_s * one.moe_layers + reach.token_s
    return (weights / peak + launches) / run.ubatch + _arithmetic_s(one, device, box, peak)


def _arithmetic_s(one: Traffic, device: int, box: MachineModel, peak: float) -> float:
    reach = box.ceilings(device)
    rate = box.devices[device].gpu.fp16_flops_per_s or peak * reach.flops_per_byte
    dense = one.prompt_flops * _slowness(one.dense, reach) / reach.flops
    dense += one.expert_flops * _slowness(one.experts, reach) / reach.expert_flops
    attention = reach.flops if one.is_latent and not reach.flash_latent else reach.prompt_attention
    return (dense + one.prompt_attention_flops / attention) / rate


def _slowness(types: Mapping[str, int], reach: GpuEfficiency) -> float:
    return read(types, reach) / (sum(types.values()) or 1)


def _host(one: Traffic, box: MachineModel, run: ContextParams) -> float | None:
    """On the cores; or on the GPU that pulls the weights over, whichever the engine does."""
    gpu = next(
        (number for number, device in enumerate(box.devices) if device.backend.offloads_host_weights), None
    )
    if gpu is None or run.ubatch < LEAST_OFFLOADED_TOKENS or box.devices[gpu].is_unified:
        rate, cpu = box.host_rate(), box.reach.cpu
        if rate is None:
            return None
        weights = sum(one.dense.values()) + sum(one.experts.values()) * one.touched(run.ubatch)
        isa = box.hardware.cpu.isa
        share = cpu.without_dot if isa and efficiency.DOT.isdisjoint(isa) else 1.0
        cores = (one.prompt_flops + one.expert_flops) / (cpu.core_flops_per_s * share)
        cores += one.prompt_attention_flops / cpu.prompt_attention_flops_per_s
        return weights / rate / run.ubatch + cores / box.batch_threads
    peak, link = box.peak(gpu), box.devices[gpu].gpu.pcie_bytes_per_s
    if peak is None:
        return None
    stream = box.reach.stream_bytes_per_s
    stream = stream if link is None else min(stream, link * PCIE_OF_PEAK)
    pulled = sum(one.dense.values()) + sum(one.experts.values()) * one.touched(run.ubatch)
    return pulled / stream / run.ubatch + _arithmetic_s(one, gpu, box, peak)
