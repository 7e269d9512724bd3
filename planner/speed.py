"""Tokens per second and load time of one command line on one box: a roofline per device.

Decode: each device reads its active weights and the KV of the context once a token, one after another,
plus a fixed time per layer for launching kernels. Prefill: arithmetic per device, and expert weights
that a GPU pulls from the host once per ubatch. Unknown bandwidth or arithmetic gives no prediction.
"""

from dataclasses import dataclass

from domain.hardware import BandwidthSource, Cpu, Hardware
from domain.model import ModelShape
from domain.plan import LlamaFlags, Range, Speed
from planner.calibration import Calibration
from planner.devices import Device
from planner.hparams import Hparams
from planner.placement import HOST_ID, Placement
from planner.resolved import Resolved
from planner.traffic import Traffic, per_device

# Share of the data-sheet bandwidth that decode reaches on large matrices. GPUs: 0.80 to 0.90 of the
# peak is measured (babelstream-like reads on GeForce, 240.6 of 273 GB/s on GB10, 212 to 234 of 256 on
# Strix Halo). CPUs: STREAM reaches 60 to 80 % of the peak; quantized matrices decode at its lower end.
GPU_OF_PEAK = 0.85
CPU_OF_PEAK = 0.62
OF_MEASURED = 0.90
# Bytes of quantized weights that one core multiplies per second (AVX2 dot products): 142 tok/s of
# SmolLM2-135M Q4_1 on one virtual core are 14 GB/s; 121 tok/s of Qwen3-0.6B Q4_K_M on 8 are 7.
CORE_BYTES_PER_S = 10e9
# Time per layer and token for launching kernels and waiting: the rest of published runs after the
# roofline, RTX 4090 8B (75 us), GB10 and RTX 3090 with gpt-oss (90 to 120 us).
GPU_LAYER_S = 50e-6
GPU_MOE_LAYER_S = 50e-6
CPU_LAYER_S = 8e-6
# A change of device in the middle of a token: copy of one row and a synchronisation.
HOP_S = 40e-6
# Share of the dense FP16 rate that prefill reaches with ubatches of 512, and what a batch too small
# for the matrix units loses. Published: RTX 4090 8B F16 9382 tok/s = 0.91 of 165 TFLOP/s with FP16
# accumulation, Q4_K_M 0.69; GB10 7B Q8_0 2250 tok/s; RTX 3090 0.45.
GPU_OF_FLOPS = 0.55
MOE_OF_DENSE = 0.35
CORE_FLOPS_PER_S = 60e9  # 141 tok/s of Qwen3-30B-A3B on 16 cores, 2408 of SmolLM2-135M on 8
PCIE_OF_PEAK = 0.75
DECODE_SPREAD = 0.30
PREFILL_SPREAD = 0.60
# Seconds from the start of the process to its listening, before a byte of weights is read.
START_S = 0.8


@dataclass(frozen=True, slots=True)
class Box:
    """What the roofline needs of a machine."""

    hardware: Hardware
    devices: tuple[Device, ...]
    threads: int
    calibration: Calibration


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
    box = Box(hardware, placement.devices, threads_of(flags, hardware.cpu), calibration)
    traffic = per_device(shape, hparams, run, placement, depth_tokens)
    return Speed(
        decode_tokens_per_s=_range(
            _decode(traffic, box), calibration.decode_ratio, calibration.spread or DECODE_SPREAD
        ),
        prefill_tokens_per_s=_range(_prefill(traffic, box, run), calibration.prefill_ratio, PREFILL_SPREAD),
        load_s=_load_s(shape, placement, hardware),
    )


def bandwidth(device: int, box: Box) -> float | None:
    """Bytes per second that decode reads on this device."""
    if device != HOST_ID:
        gpu = box.devices[device].gpu
        return _of(gpu.bandwidth_bytes_per_s, gpu.bandwidth_source, GPU_OF_PEAK)
    memory = box.hardware.memory
    measured = box.calibration.host_bandwidth_bytes_per_s
    found = measured or _of(memory.bandwidth_bytes_per_s, memory.bandwidth_source, CPU_OF_PEAK)
    return None if found is None else min(found, box.threads * CORE_BYTES_PER_S)


def _of(rate: float | None, source: BandwidthSource | None, of_peak: float) -> float | None:
    if rate is None:
        return None
    return rate * (OF_MEASURED if source is BandwidthSource.MEASURED else of_peak)


def _decode(traffic: dict[int, Traffic], box: Box) -> float | None:
    """Seconds per token."""
    total, used = 0.0, 0
    for device, one in traffic.items():
        if not one.weight_bytes and not one.kv_bytes:
            continue
        rate = bandwidth(device, box)
        if rate is None:
            return None
        used += 1
        total += (one.weight_bytes + one.kv_bytes) / rate
        if device == HOST_ID:
            total += CPU_LAYER_S * max(one.layers, one.moe_layers)
        else:
            total += GPU_LAYER_S * one.layers + GPU_MOE_LAYER_S * one.moe_layers
    return total + HOP_S * max(0, used - 1)


def _prefill(traffic: dict[int, Traffic], box: Box, run: Resolved) -> float | None:
    """Seconds per token of a prompt."""
    total = 0.0
    for device, one in traffic.items():
        if not one.flops:
            continue
        part = _host_prefill(one, box, run) if device == HOST_ID else _gpu_prefill(one, device, box)
        if part is None:
            return None
        total += part
    return total or None


def _gpu_prefill(one: Traffic, device: int, box: Box) -> float | None:
    rate = box.devices[device].gpu.fp16_flops_per_s
    if rate is None:
        return None
    return one.flops / (rate * GPU_OF_FLOPS * (MOE_OF_DENSE if one.moe_layers else 1.0))


def _host_prefill(one: Traffic, box: Box, run: Resolved) -> float | None:
    """On the cores; or on the GPU that pulls the weights over, whichever the engine does."""
    own = one.flops / (box.threads * CORE_FLOPS_PER_S)
    gpu = next((device for device in box.devices if device.backend.offloads_host_weights), None)
    if gpu is None or run.ubatch < 32 or gpu.is_unified:
        return own
    link = gpu.gpu.pcie_bytes_per_s
    return None if link is None else one.stored_bytes / run.ubatch / (link * PCIE_OF_PEAK)


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
