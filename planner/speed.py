"""Tokens per second and load time of one command line on one box: a roofline per device.

Decode: each device reads its active weights and the KV of the context once a token, one device after
another, plus fixed times for launches and waits. Prefill: arithmetic, the weights once a ubatch, and
expert weights that a GPU pulls from the host. Unknown bandwidth gives no prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.ggml import BY_NAME
from domain.hardware import BandwidthSource, Cpu, Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags, Range, Speed
from planner import ceilings
from planner.calibration import Calibration
from planner.ceilings import CPU, GpuCeilings
from planner.devices import Device
from planner.hparams import Hparams
from planner.placement import HOST_ID, Placement
from planner.resolved import Resolved
from planner.traffic import Traffic, per_device

GPU_OF_PEAK = ceilings.CUDA.read
CPU_OF_PEAK = CPU.read
CORE_BYTES_PER_S = 10e9  # of F16 and 8-bit weights
# A measured bandwidth is what a plain read reaches; matrices reach a little less.
OF_MEASURED = 0.90
# A change of device in the middle of a token: copy of one row and a synchronisation.
HOP_S = 60e-6
PCIE_OF_PEAK = 0.75
# Seconds from the start of the process to its listening, before a byte of weights is read.
START_S = 0.8
LEAST_OFFLOADED_TOKENS = 32  # ggml's back ends take host weights from this batch on


@dataclass(frozen=True, slots=True)
class Box:
    """What the roofline needs of a machine."""

    hardware: Hardware
    devices: tuple[Device, ...]
    threads: int
    batch_threads: int
    calibration: Calibration

    def ceilings(self, device: int) -> GpuCeilings:
        one = self.devices[device]
        return ceilings.BY_KIND[ceilings.kind_of(one.gpu, one.backend)]


def threads_of(flags: LlamaFlags, cpu: Cpu) -> int:
    return flags.threads or cpu.physical_cores or cpu.usable_cpus or 1


def predict(
    shape: ModelShape,
    hparams: Hparams,
    run: Resolved,
    flags: LlamaFlags,
    placement: Placement,
    hardware: Hardware,
    *,
    depth_tokens: int,
    calibration: Calibration,
) -> Speed:
    threads = threads_of(flags, hardware.cpu)
    box = Box(hardware, placement.devices, threads, flags.threads_batch or threads, calibration)
    traffic = per_device(shape, hparams, run, placement, depth_tokens)
    kind = _class(traffic, box)
    return Speed(
        decode_tokens_per_s=_range(
            decode_s(traffic, box),
            calibration.decode_ratio,
            calibration.spread or ceilings.DECODE_SPREAD[kind],
        ),
        prefill_tokens_per_s=_range(
            prefill_s(traffic, box, run), calibration.prefill_ratio, ceilings.PREFILL_SPREAD[kind]
        ),
        load_s=_load_s(shape, placement, hardware),
    )


def _class(traffic: Mapping[int, Traffic], box: Box) -> str:
    """How far off a prediction may be: by what does the work."""
    host = bool(traffic[HOST_ID].dense or traffic[HOST_ID].experts)
    gpus = [device for device in range(len(box.devices)) if not traffic[device].is_idle]
    if not gpus:
        return "cpu"
    if host:
        return "gpu + cpu"
    return ceilings.kind_of(box.devices[gpus[0]].gpu, box.devices[gpus[0]].backend)


def decode_s(traffic: Mapping[int, Traffic], box: Box) -> float | None:
    """Seconds per token."""
    total, used = 0.0, 0
    for device, one in traffic.items():
        if one.is_idle:
            continue
        part = _host_decode(one, box) if device == HOST_ID else _gpu_decode(one, device, box)
        if part is None:
            return None
        used += 1
        total += part + 2 * HOP_S * one.lent_layers
    return total + HOP_S * max(0, used - 1)


def _peak(device: int, box: Box) -> float | None:
    """Bytes per second that the shares of ``ceilings`` are of."""
    gpu = box.devices[device].gpu
    if gpu.bandwidth_bytes_per_s is None:
        return None
    is_measured = gpu.bandwidth_source is BandwidthSource.MEASURED
    return gpu.bandwidth_bytes_per_s * (OF_MEASURED / GPU_OF_PEAK if is_measured else 1.0)


def _gpu_decode(one: Traffic, device: int, box: Box) -> float | None:
    peak, reach = _peak(device, box), box.ceilings(device)
    if peak is None:
        return None
    weights = _read(one.dense, reach) / reach.read + _read(one.experts, reach) * one.share / reach.expert_read
    attention = max(one.kv_bytes / reach.kv_read, one.attention_flops / reach.attention)
    fixed = reach.token_s + reach.op_s * one.tensors + reach.moe_layer_s * one.moe_layers
    return (weights + attention) / peak + fixed


def _read(types: Mapping[str, int], reach: GpuCeilings) -> float:
    return sum(size * reach.slow.get(kind, 1.0) for kind, size in types.items())


def _slowness(types: Mapping[str, int], reach: GpuCeilings) -> float:
    return _read(types, reach) / (sum(types.values()) or 1)


def host_rate(box: Box) -> float | None:
    """Bytes per second that cores read from RAM together."""
    memory = box.hardware.memory
    measured = box.calibration.host_bandwidth_bytes_per_s
    if measured is not None:
        return measured
    if memory.bandwidth_bytes_per_s is None:
        return None
    if memory.bandwidth_source is BandwidthSource.MEASURED:
        return memory.bandwidth_bytes_per_s * OF_MEASURED
    beyond = max(0.0, memory.bandwidth_bytes_per_s - CPU.knee_bytes_per_s)
    return CPU.read * (memory.bandwidth_bytes_per_s - beyond) + CPU.read_beyond * beyond


def _host_decode(one: Traffic, box: Box) -> float | None:
    rate = host_rate(box)
    if rate is None:
        return None
    size = sum(one.dense.values()) + sum(one.experts.values()) * one.share
    values = _values(one.dense) + _values(one.experts) * one.share
    weights = max(size / rate, values / (box.threads * CPU.core_values_per_s))
    attention = max(one.kv_bytes / rate, one.attention_flops / (box.threads * CPU.attention_flops_per_s))
    return weights + attention + CPU.layer_s * one.layers + CPU.moe_layer_s * one.moe_layers


def _values(types: Mapping[str, int]) -> float:
    """Quantized values, by what multiplying them costs a core."""
    return sum(
        size * BY_NAME[kind].block / BY_NAME[kind].block_bytes * CPU.cost.get(kind, 1.0)
        for kind, size in types.items()
        if kind in BY_NAME
    )


def prefill_s(traffic: Mapping[int, Traffic], box: Box, run: Resolved) -> float | None:
    """Seconds per token of a prompt."""
    total = 0.0
    for device, one in traffic.items():
        if one.is_idle:
            continue
        part = _host_prefill(one, box, run) if device == HOST_ID else _gpu_prefill(one, device, box, run)
        if part is None:
            return None
        total += part
    return total or None


def _gpu_prefill(one: Traffic, device: int, box: Box, run: Resolved) -> float | None:
    peak, reach = _peak(device, box), box.ceilings(device)
    if peak is None:
        return None
    read = sum(one.dense.values()) / reach.read
    read += sum(one.experts.values()) * one.touched(run.ubatch) / reach.expert_read
    launches = reach.op_s * one.tensors + reach.moe_layer_s * one.moe_layers + reach.token_s
    return (read / peak + launches) / run.ubatch + _arithmetic_s(one, device, box, peak)


def _arithmetic_s(one: Traffic, device: int, box: Box, peak: float) -> float:
    reach = box.ceilings(device)
    rate = box.devices[device].gpu.fp16_flops_per_s or peak * reach.flops_per_byte
    dense = one.prompt_flops * _slowness(one.dense, reach) / reach.flops
    dense += one.expert_flops * _slowness(one.experts, reach) / reach.expert_flops
    attention = reach.flops if one.is_latent and not reach.flash_latent else reach.prompt_attention
    return (dense + one.prompt_attention_flops / attention) / rate


def _host_prefill(one: Traffic, box: Box, run: Resolved) -> float | None:
    """On the cores; or on the GPU that pulls the weights over, whichever the engine does."""
    gpu = next(
        (number for number, device in enumerate(box.devices) if device.backend.offloads_host_weights), None
    )
    if gpu is None or run.ubatch < LEAST_OFFLOADED_TOKENS or box.devices[gpu].is_unified:
        rate = host_rate(box)
        if rate is None:
            return None
        read = sum(one.dense.values()) + sum(one.experts.values()) * one.touched(run.ubatch)
        cores = (one.prompt_flops + one.expert_flops) / CPU.core_flops_per_s
        cores += one.prompt_attention_flops / CPU.prompt_attention_flops_per_s
        return read / rate / run.ubatch + cores / box.batch_threads
    peak, link = _peak(gpu, box), box.devices[gpu].gpu.pcie_bytes_per_s
    if peak is None:
        return None
    stream = ceilings.STREAM_BYTES_PER_S
    stream = stream if link is None else min(stream, link * PCIE_OF_PEAK)
    pulled = sum(one.dense.values()) + sum(one.experts.values()) * one.touched(run.ubatch)
    return pulled / stream / run.ubatch + _arithmetic_s(one, gpu, box, peak)


def _load_s(shape: ModelShape, placement: Placement, hardware: Hardware) -> float | None:
    """The file from disk, or from the page cache where the disk is not known to be slower."""
    if hardware.storage is None or not hardware.storage.read_bytes_per_s:
        return None
    return START_S + (shape.file_bytes + placement.duplicated) / hardware.storage.read_bytes_per_s


def _range(seconds: float | None, ratio: float | None, spread: float) -> Range | None:
    if not seconds:
        return None
    expected = (ratio or 1.0) / seconds
    return Range(expected / (1 + spread), expected, expected * (1 + spread))
