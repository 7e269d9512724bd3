"""Values that two sources give together, once both are read."""

from dataclasses import replace

from domain.hardware import BandwidthSource, Gpu, Hardware, MemoryKind
from domain.provenance import Certainty, Provenance
from probes.memory import peak_bandwidth
from probes.result import Reading, with_part
from probes.sensors import power, temperatures

RATED = Provenance("table", Certainty.RATED, "of the unified GPU, whose memory is the RAM")


def cpu_sensors(hardware: Hardware) -> Hardware:
    """Temperature and power of the CPU, by the sensors of the machine."""
    if not hardware.thermals and not hardware.power:
        return hardware
    temperature_c, told = temperatures.of_cpu(hardware.thermals)
    cpu = replace(hardware.cpu, temperature_c=temperature_c, power_w=power.of_packages(hardware.power))
    return with_part(hardware, "cpu", Reading(cpu, told={"temperature_c": told, "power_w": power.RAPL_TOLD}))


def unified_bandwidth(hardware: Hardware) -> Hardware:
    """The memory of a unified GPU is the RAM, so its peak is the RAM's, too."""
    for gpu in (*hardware.gpus, *hardware.set_aside):
        if _has_rated_ram(gpu):
            told = hardware.sources.get(f"gpus[{gpu.id}].bandwidth_bytes_per_s", RATED)
            bounded = peak_bandwidth.bounded(hardware.memory, gpu.bandwidth_bytes_per_s, told)
            return with_part(hardware, "memory", bounded)
    return hardware


def _has_rated_ram(gpu: Gpu) -> bool:
    peak = gpu.bandwidth_source is BandwidthSource.PEAK
    return gpu.memory_kind is MemoryKind.UNIFIED and peak and bool(gpu.bandwidth_bytes_per_s)


def gpu_power(hardware: Hardware) -> Hardware:
    """Intel's drivers count energy and report no watts: two readings of the counter give them."""
    counted = {
        gpu.id: draw
        for gpu in hardware.gpus
        if gpu.power_w is None and (draw := power.of_device(hardware.power, gpu.id))
    }
    if not counted:
        return hardware
    gpus = (
        replace(gpu, power_w=counted[gpu.id].power_w) if gpu.id in counted else gpu for gpu in hardware.gpus
    )
    told = {f"gpus[{id_}].power_w": power.told(draw)["power_w"] for id_, draw in counted.items()}
    return replace(hardware, gpus=tuple(gpus), sources={**hardware.sources, **told})
