"""Does something end a process before a GPU that shares the RAM has taken all of it?"""

from daemon.doctor.checks.finding import Finding, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import MemoryKind


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    if not any(gpu.memory_kind is MemoryKind.UNIFIED for gpu in facts.hardware.gpus):
        return ()
    if facts.system.oom_guards:
        return ok(f"{', '.join(facts.system.oom_guards)} runs")
    # github.com/NVIDIA/open-gpu-kernel-modules/issues/1358; that swap counts, too: rfjakob/earlyoom
    # issue 269. 3 % of the RAM is a rule of thumb: 4 GiB of a GB10's 119
    return (
        warning(
            "no early OOM daemon runs",
            why="the kernel counts a GPU's memory as nobody's, and the machine freezes before it acts",
            fix='install earlyoom, set EARLYOOM_ARGS="-m 3 -s 100" in /etc/default/earlyoom (else it waits '
            "for the swap to fill), sudo systemctl enable --now earlyoom",
        ),
    )
