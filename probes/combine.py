"""Values that follow from two sources: computed from what the probes have read."""

from dataclasses import replace

from domain.machine.hardware import BandwidthSource, Gpu, Hardware, MemoryKind
from domain.machine.provenance import Certainty, Provenance
from probes.memory import peak_bandwidth
from probes.result import Reading, with_part
from probes.sensors import power, temperatures

RATED = Provenance("table", Certainty.RATED, "of the unified GPU, whose memory is the RAM")


def cpu_sensors(hardware: Hardware) -> Hardware:
    """Temperature and power of the CPU, from the sensors of the machine."""
    if not hardware.thermals and not hardware.power:
        return hardware
    temperature_c, source = temperatures.cpu_temperature(hardware.thermals)
    cpu = replace(hardware.cpu, temperature_c=temperature_c, power_w=power.package_power_w(hardware.power))
    provenance = {"temperature_c": source, "power_w": power.RAPL_SOURCE}
    return with_part(hardware, "cpu", Reading(cpu, provenance=provenance))


def unified_bandwidth(hardware: Hardware) -> Hardware:
    """The memory of a unified GPU is the RAM, so the GPU's rated bandwidth limits the RAM's."""
    for gpu in (*hardware.gpus, *hardware.set_aside):
        if _is_unified_and_rated(gpu):
            source = hardware.sources.get(f"gpus[{gpu.id}].bandwidth_bytes_per_s", RATED)
            reading = peak_bandwidth.limit_to_rated(hardware.memory, gpu.bandwidth_bytes_per_s, source)
            return with_part(hardware, "memory", reading)
    return hardware


def _is_unified_and_rated(gpu: Gpu) -> bool:
    rated = gpu.bandwidth_source is BandwidthSource.PEAK and bool(gpu.bandwidth_bytes_per_s)
    return rated and gpu.memory_kind is MemoryKind.UNIFIED


def gpu_power(hardware: Hardware) -> Hardware:
    """Intel's drivers count energy and report no watts: two readings of the counter give them."""
    powers = {
        gpu.id: reading
        for gpu in hardware.gpus
        if gpu.power_w is None and (reading := power.device_power(hardware.power, gpu.id))
    }
    if not powers:
        return hardware
    gpus = tuple(
        replace(gpu, power_w=powers[gpu.id].power_w) if gpu.id in powers else gpu for gpu in hardware.gpus
    )
    named = {
        f"gpus[{gpu_id}].power_w": power.sources_of(reading)["power_w"] for gpu_id, reading in powers.items()
    }
    return replace(hardware, gpus=gpus, sources={**hardware.sources, **named})
