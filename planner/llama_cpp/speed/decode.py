"""Seconds of one token: each device reads its active weights and the KV of the context, one device after
another, plus fixed times for launches, waits and crossings."""

from collections.abc import Mapping

from domain.ggml import BY_NAME
from planner.llama_cpp.placement import HOST_ID
from planner.llama_cpp.speed.traffic import Traffic
from planner.machine.efficiency import CpuEfficiency, GpuEfficiency
from planner.machine.model import MachineModel

# A change of device in the middle of a token: copy of one row and a synchronisation.
HOP_S = 60e-6


def decode_s(traffic: Mapping[int, Traffic], box: MachineModel, tokens: int = 1) -> float | None:
    """Seconds of ``tokens`` that are decoded at once, as drafted ones are; ``None`` where a bandwidth is not
    known. Weights and cache are read once for all of them, experts as many as they touch together."""
    total, used = 0.0, 0
    for device, one in traffic.items():
        if one.is_idle:
            continue
        part = _host(one, box, tokens) if device == HOST_ID else _gpu(one, device, box, tokens)
        if part is None:
            return None
        used += 1
        total += part + 2 * HOP_S * one.lent_layers
    return total + HOP_S * max(0, used - 1)


def _gpu(one: Traffic, device: int, box: MachineModel, tokens: int) -> float | None:
    peak, reach = box.peak(device), box.ceilings(device)
    if peak is None:
        return None
    unpacking = box.unpacking(device)
    experts = read(one.experts, reach, unpacking) * one.touched(tokens)
    weights = read(one.dense, reach, unpacking) / reach.read + experts / reach.expert_read
    attention = max(one.kv_bytes / reach.kv_read, tokens * one.attention_flops / reach.attention)
    fixed = reach.token_s + reach.op_s * one.tensors + reach.moe_layer_s * one.moe_layers
    return (weights + attention) / peak + fixed


def read(types: Mapping[str, int], reach: GpuEfficiency, unpacking: float = 1.0) -> float:
    """Bytes, those of types that are slow to unpack counted as more."""
    return sum(size * reach.slow.get(kind, 1.0 / unpacking) * unpacking for kind, size in types.items())


def _host(one: Traffic, box: MachineModel, tokens: int) -> float | None:
    rate, cpu = box.host_rate(), box.reach.cpu
    if rate is None:
        return None
    size = sum(one.dense.values()) + sum(one.experts.values()) * one.touched(tokens)
    values = tokens * (_values(one.dense, cpu) + _values(one.experts, cpu) * one.share)
    weights = max(size / rate, values / (box.threads * cpu.core_values_per_s))
    operations = tokens * one.attention_flops
    attention = max(one.kv_bytes / rate, operations / (box.threads * cpu.attention_flops_per_s))
    return weights + attention + cpu.layer_s * one.layers + cpu.moe_layer_s * one.moe_layers


def _values(types: Mapping[str, int], cpu: CpuEfficiency) -> float:
    """Quantized values, by what multiplying them costs a core."""
    return sum(
        size * BY_NAME[kind].block / BY_NAME[kind].block_bytes * cpu.cost.get(kind, 1.0)
        for kind, size in types.items()
        if kind in BY_NAME
    )
