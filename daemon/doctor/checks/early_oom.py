"""Is there a daemon that kills a process before a GPU that shares the RAM has used all of it?"""

from daemon.doctor.checks.finding import Finding, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import MemoryKind


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if not any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in inputs.hardware.gpus):
        return ()
    if inputs.system.oom_guards:
        return ok(f"{', '.join(inputs.system.oom_guards)} is running")
    # github.com/NVIDIA/open-gpu-kernel-modules/issues/1358; that earlyoom counts swap, too:
    # rfjakob/earlyoom issue 269. 3 % of the RAM is a rule of thumb: 4 GiB of a GB10's 119
    return (
        warning(
            "no early OOM daemon is running",
            why="the kernel counts a GPU's memory to no process, and the machine freezes before it acts",
            fix='install earlyoom, set EARLYOOM_ARGS="-m 3 -s 100" in /etc/default/earlyoom (by default it '
            "waits until swap is full, too), then sudo systemctl enable --now earlyoom",
        ),
    )
