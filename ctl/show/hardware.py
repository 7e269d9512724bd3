"""A machine as its probes found it: one short paragraph a part."""

from ctl.show.words import shape
from domain.hardware import Cpu, Gpu, Hardware, Memory, Storage
from domain.units import gb_per_s, gib


def hardware_lines(data: object) -> list[str]:
    """CPU, memory, GPUs, NPUs, stacks, temperatures, storage, engines, problems."""
    box = shape(Hardware, data)
    lines = [_line("CPU", _cpu(box.cpu)), _line("memory", _memory(box.memory))]
    lines += [_line("GPU", _gpu(gpu)) for gpu in box.gpus] or [_line("GPU", "none")]
    lines += [_line("NPU", f"{npu.name} ({npu.id}), unused: no engine here runs on one") for npu in box.npus]
    stacks = {"CUDA": box.stacks.cuda, "ROCm": box.stacks.rocm, "Vulkan": box.stacks.vulkan}
    stacks["Level Zero"] = box.stacks.level_zero
    if any(stacks.values()):
        lines.append(_line("stacks", ", ".join(f"{name} {level}" for name, level in stacks.items() if level)))
    for sensor in box.thermals:
        limit = f", critical at {sensor.critical_c:.0f} °C" if sensor.critical_c is not None else ""
        lines.append(_line("heat", f"{sensor.sensor} {sensor.temperature_c:.0f} °C{limit}"))
    lines.append(_line("storage", _storage(box.storage)))
    for engine in box.engines:
        backends = f" ({', '.join(engine.backends)})" if engine.backends else ""
        lines.append(_line("engine", f"{engine.engine} {engine.version or '?'}{backends}, {engine.path}"))
    for problem in box.problems:
        lines.append(_line("problem", f"{problem.source}: {problem.what}"))
        if problem.hint:
            lines.append(_line("", f"hint: {problem.hint}"))
    return lines


def _line(head: str, text: str) -> str:
    return f"{head:<9} {text}"


def _cpu(cpu: Cpu) -> str:
    words = [cpu.model or "unknown model", f"{_known(cpu.physical_cores)} cores"]
    if cpu.performance_cores is not None and cpu.performance_cores != cpu.physical_cores:
        words.append(f"{cpu.performance_cores} of them fast")
    if cpu.usable_cpus is not None and cpu.usable_cpus != cpu.logical_cpus:
        words.append(f"{cpu.usable_cpus} of {_known(cpu.logical_cpus)} CPUs usable")
    if cpu.quota_cpus is not None:
        words.append(f"limited to {cpu.quota_cpus:g} CPUs")
    if cpu.isa:
        words.append(" ".join(cpu.isa))
    return ", ".join(words)


def _memory(memory: Memory) -> str:
    words = [f"{gib(memory.available_bytes)} of {gib(memory.total_bytes)} available"]
    if memory.bandwidth_bytes_per_s is not None:
        words.append(f"{gb_per_s(memory.bandwidth_bytes_per_s)} {memory.bandwidth_source or ''}".rstrip())
    if memory.cgroup_limit_bytes is not None:
        words.append(f"limited to {gib(memory.cgroup_limit_bytes)}")
    if memory.memlock_limit_bytes is not None:
        words.append(f"mlock up to {gib(memory.memlock_limit_bytes)}")
    return ", ".join(words)


def _gpu(gpu: Gpu) -> str:
    words = [gpu.name, f"{gib(gpu.memory_free_bytes)} of {gib(gpu.memory_total_bytes)} free"]
    if gpu.memory_kind is not None:
        words.append(str(gpu.memory_kind))
    if gpu.bandwidth_bytes_per_s is not None:
        words.append(gb_per_s(gpu.bandwidth_bytes_per_s))
    words += [word for word in (gpu.arch, gpu.driver and f"driver {gpu.driver}") if word]
    if gpu.temperature_c is not None:
        words.append(f"{gpu.temperature_c:.0f} °C")
    if gpu.power_w is not None:
        words.append(f"{gpu.power_w:.0f} W")
    return ", ".join([*words, gpu.id])


def _storage(storage: Storage | None) -> str:
    if storage is None:
        return "unknown"
    read = f", reads {gb_per_s(storage.read_bytes_per_s)}" if storage.read_bytes_per_s is not None else ""
    return f"{gib(storage.free_bytes)} free at {storage.path}{read}"


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)
