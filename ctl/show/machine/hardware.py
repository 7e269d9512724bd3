"""Lines for the hardware of a machine: one or more per part."""

from ctl.show.formatting import decode
from ctl.show.machine.gpus import gpu_lines, npu_line, set_aside_line, stacks_text
from ctl.show.machine.host import cpu_text, memory_text, other_memory_rows, sensor_rows, storage_text
from domain.machine.hardware import Hardware


def hardware_lines(data: object) -> list[str]:
    """CPU, memory, GPUs, NPUs, stacks, temperatures, storage, engines, problems."""
    hardware = decode(Hardware, data)
    lines = [_line("CPU", cpu_text(hardware.cpu)), _line("memory", memory_text(hardware.memory))]
    lines += [_line(head, text) for head, text in other_memory_rows(hardware)]
    for gpu in hardware.gpus:
        first, *processes = gpu_lines(gpu)
        lines += [_line("GPU", first), *(_line("", process) for process in processes)]
    lines += [] if hardware.gpus else [_line("GPU", "none")]
    lines += [_line("set aside", set_aside_line(gpu)) for gpu in hardware.set_aside]
    lines += [_line("NPU", npu_line(npu)) for npu in hardware.npus]
    if stacks := stacks_text(hardware.stacks):
        lines.append(_line("stacks", stacks))
    lines += [_line(head, text) for head, text in sensor_rows(hardware)]
    lines.append(_line("storage", storage_text(hardware.storage)))
    for engine in hardware.engines:
        backends = f" ({', '.join(engine.backends)})" if engine.backends else ""
        lines.append(_line("engine", f"{engine.engine} {engine.version or '?'}{backends}, {engine.path}"))
    for problem in hardware.problems:
        lines.append(_line("problem", f"{problem.source}: {problem.what}"))
        if problem.hint:
            lines.append(_line("", f"hint: {problem.hint}"))
    return lines


def _line(head: str, text: str) -> str:
    return f"{head:<9} {text}"
