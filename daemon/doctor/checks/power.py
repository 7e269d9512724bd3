"""Is the power limit of a GPU below the vendor's default?"""

from daemon.doctor.checks.finding import Finding, Verdict, not_known, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Gpu, MemoryKind

TOLERANCE = 0.99  # limits are rounded


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    gpus = inputs.hardware.gpus
    cards = [gpu for gpu in gpus if gpu.memory_kind is MemoryKind.DEDICATED and not gpu.parent]
    return tuple(finding for gpu in cards for finding in _card(gpu))


def _card(gpu: Gpu) -> tuple[Finding, ...]:
    limit_w, default_w = gpu.power_limit_w, gpu.power_default_w
    if limit_w is None or default_w is None:
        return not_known(f"the power limit of {gpu.name} at {gpu.id}{' (asleep)' if gpu.asleep else ''}")
    if limit_w >= TOLERANCE * default_w:
        return (Finding(Verdict.OK, f"{gpu.name} at {gpu.id}: {limit_w:.0f} W"),)
    return (
        warning(
            f"{gpu.name} at {gpu.id} is limited to {limit_w:.0f} of {default_w:.0f} W",
            why="prompts take longer, decoding hardly; ignore this if you set the limit for heat or noise",
            fix=_fix(gpu, default_w),
        ),
    )


def _fix(gpu: Gpu, default_w: float) -> str:
    slot = gpu.id.removeprefix("pci:")
    if gpu.vendor == "nvidia":
        return f"sudo nvidia-smi -i {slot} -pl {default_w:.0f}, and look for a unit that sets it at boot"
    file = f"/sys/bus/pci/devices/{slot}/hwmon/hwmon*/power1_cap"
    return f"echo {default_w * 1e6:.0f} | sudo tee {file}, and look for what sets it at boot (LACT, a unit)"
