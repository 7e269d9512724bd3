"""GPUs that sleep and do not say how much memory they have: nothing is planned on them."""

from domain.machine.hardware import Hardware


def sleeping_notes(hardware: Hardware) -> tuple[str, ...]:
    return tuple(
        f"{gpu.name} ({gpu.id}) sleeps, and its memory is unknown: it is left out. node-ctl launch wakes it"
        for gpu in hardware.gpus
        if gpu.asleep and gpu.memory_total_bytes is None
    )
