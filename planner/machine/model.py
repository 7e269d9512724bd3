"""What the rooflines need of a machine: devices, threads, and the share of their data sheets that they
reach."""

from dataclasses import dataclass

from domain.machine.hardware import BandwidthSource, Hardware
from planner.machine.devices import Device, llama_cpp_build
from planner.machine.efficiency import ARM_ISA, ARM_SERVER_OR_MAC, FITTED, RING_BUS_CPU, Efficiency
from planner.machine.gpu_efficiency import CUDA, GpuEfficiency, efficiency_class

# A measured bandwidth is that of a plain read; matrices reach a little less.
SHARE_OF_MEASURED = 0.90

# Pascal multiplies FP16 at a 64th of its FP32 rate, and 8-bit values at four times it: a P40 has 47 TOPS and
# 346 GB/s.
DP4A_FLOPS_PER_BYTE = 34.0


@dataclass(frozen=True, slots=True)
class MachineModel:
    hardware: Hardware
    devices: tuple[Device, ...]
    threads: int
    batch_threads: int
    efficiency: Efficiency = FITTED

    def gpu_efficiency(self, index: int) -> GpuEfficiency:
        return self.efficiency.by_class[self.efficiency_class(index)]

    def efficiency_class(self, index: int) -> str:
        device = self.devices[index]
        return efficiency_class(device.gpu, device.backend, llama_cpp_build(self.hardware))

    def peak_bytes_per_s(self, index: int) -> float | None:
        """The bandwidth that the shares of ``gpu_efficiency`` refer to; ``None`` if not known."""
        gpu = self.devices[index].gpu
        if gpu.bandwidth_bytes_per_s is None:
            return None
        is_measured = gpu.bandwidth_source is BandwidthSource.MEASURED
        return gpu.bandwidth_bytes_per_s * (SHARE_OF_MEASURED / CUDA.read if is_measured else 1.0)

    def flops_per_s(self, index: int) -> float | None:
        """The rate that the shares of ``gpu_efficiency`` refer to: FP16 with FP32 sums as GeForce has it, a
        quarter of its 8-bit rate. NVIDIA's other cards sum in FP32 at twice that rate, but multiply
        quantized weights no faster."""
        gpu = self.devices[index].gpu
        if gpu.arch == "sm_61" and gpu.bandwidth_bytes_per_s:
            return gpu.bandwidth_bytes_per_s * DP4A_FLOPS_PER_BYTE
        if gpu.fp16_flops_per_s is None:
            return None
        is_full_rate = gpu.vendor.lower() == "nvidia" and "geforce" not in gpu.name.lower()
        return gpu.fp16_flops_per_s * (0.5 if is_full_rate else 1.0)

    def dequantising_factor(self, index: int) -> float:
        """How much longer dequantising takes on this GPU than on those that ``dequantising`` was measured
        on."""
        gpu, own = self.devices[index].gpu, self.gpu_efficiency(index)
        usual = own.dequantising_flops_per_byte
        if not usual or not gpu.fp16_flops_per_s or not gpu.bandwidth_bytes_per_s:
            return 1.0
        return max(1.0, usual * gpu.bandwidth_bytes_per_s / gpu.fp16_flops_per_s)

    def host_bytes_per_s(self) -> float | None:
        """What all cores together read from RAM; ``None`` if its bandwidth is not known."""
        memory, cpu = self.hardware.memory, self.efficiency.cpu
        if memory.bandwidth_bytes_per_s is None:
            return None
        if memory.bandwidth_source is BandwidthSource.MEASURED:
            return memory.bandwidth_bytes_per_s * SHARE_OF_MEASURED
        beyond = max(0.0, memory.bandwidth_bytes_per_s - cpu.knee_bytes_per_s)
        return self._host_read_share() * (memory.bandwidth_bytes_per_s - beyond) + cpu.read_beyond * beyond

    def _host_read_share(self) -> float:
        cpu = self.efficiency.cpu
        if RING_BUS_CPU.search(self.hardware.cpu.model or ""):
            return cpu.ring_read
        return cpu.board_read if self.is_arm_board else cpu.read

    @property
    def is_arm_board(self) -> bool:
        cpu = self.hardware.cpu
        return not ARM_ISA.isdisjoint(cpu.isa) and not ARM_SERVER_OR_MAC.search(cpu.model or "")
