"""What the rooflines need of a machine: its devices, its threads, and what each reaches of its data sheet."""

from dataclasses import dataclass

from domain.hardware import BandwidthSource, Hardware
from planner.machine import efficiency
from planner.machine.devices import Device, build_of
from planner.machine.efficiency import Efficiency, GpuEfficiency

# A measured bandwidth is what a plain read reaches; matrices reach a little less.
OF_MEASURED = 0.90


@dataclass(frozen=True, slots=True)
class MachineModel:
    """``reach``: shares of the data sheets, by back end and of cores."""

    hardware: Hardware
    devices: tuple[Device, ...]
    threads: int
    batch_threads: int
    reach: Efficiency = efficiency.FITTED

    def ceilings(self, device: int) -> GpuEfficiency:
        return self.reach.by_kind[self.kind(device)]

    def kind(self, device: int) -> str:
        one = self.devices[device]
        return efficiency.kind_of(one.gpu, one.backend, build_of(self.hardware))

    def peak(self, device: int) -> float | None:
        """Bytes per second that the shares of ``ceilings`` are of."""
        gpu = self.devices[device].gpu
        if gpu.bandwidth_bytes_per_s is None:
            return None
        is_measured = gpu.bandwidth_source is BandwidthSource.MEASURED
        return gpu.bandwidth_bytes_per_s * (OF_MEASURED / efficiency.CUDA.read if is_measured else 1.0)

    def unpacking(self, device: int) -> float:
        """How much longer types that are ``slow`` take here than where that was measured."""
        gpu, reach = self.devices[device].gpu, self.ceilings(device)
        if not reach.slow_at or not gpu.fp16_flops_per_s or not gpu.bandwidth_bytes_per_s:
            return 1.0
        return max(1.0, reach.slow_at * gpu.bandwidth_bytes_per_s / gpu.fp16_flops_per_s)

    def host_rate(self) -> float | None:
        """Bytes per second that cores read from RAM together."""
        memory, cpu = self.hardware.memory, self.reach.cpu
        if memory.bandwidth_bytes_per_s is None:
            return None
        if memory.bandwidth_source is BandwidthSource.MEASURED:
            return memory.bandwidth_bytes_per_s * OF_MEASURED
        beyond = max(0.0, memory.bandwidth_bytes_per_s - cpu.knee_bytes_per_s)
        share = cpu.ring_read if efficiency.RING.search(self.hardware.cpu.model or "") else cpu.read
        return share * (memory.bandwidth_bytes_per_s - beyond) + cpu.read_beyond * beyond
