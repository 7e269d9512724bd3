"""A machine as its probes found it: one short paragraph a part."""

from ctl.show.formatting import decode
from ctl.show.gpus import gpu_lines, npu_line, set_aside_line, stack_words
from ctl.show.host import cpu_words, memory_words, rest_of_memory, sensor_words, storage_words
from domain.hardware import Hardware


def hardware_lines(data: object) -> list[str]:
    """CPU, memory, GPUs, NPUs, stacks, temperatures, storage, engines, problems."""
    box = decode(Hardware, data)
    lines = [_line("CPU", cpu_words(box.cpu)), _line("memory", memory_words(box.memory))]
    lines += [_line(head, text) for head, text in rest_of_memory(box)]
    for gpu in box.gpus:
        first, *tenants = gpu_lines(gpu)
        lines += [_line("GPU", first), *(_line("", tenant) for tenant in tenants)]
    lines += [] if box.gpus else [_line("GPU", "none")]
    lines += [_line("set aside", set_aside_line(gpu)) for gpu in box.set_aside]
    lines += [_line("NPU", npu_line(npu)) for npu in box.npus]
    if stacks := stack_words(box.stacks):
        lines.append(_line("stacks", stacks))
    lines += [_line(head, text) for head, text in sensor_words(box)]
    lines.append(_line("storage", storage_words(box.storage)))
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
