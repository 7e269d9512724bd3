"""May the kernel's log be read, which tells of lost GPUs and of processes that were killed for memory?"""

from daemon.doctor.checks.finding import Finding, ok, warning
from daemon.doctor.checks.input import DoctorInput

FIX = "sudo sysctl kernel.dmesg_restrict=0 lets every user read it; a file in /etc/sysctl.d keeps it"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.kernel_log_denied is None:
        return ()
    if not inputs.kernel_log_denied:
        return ok("readable")
    return (
        warning(
            "the kernel's log (/dev/kmsg) may not be read",
            why="a GPU that fell off the bus or was not reset is known only by its engine, which may hang",
            fix=FIX,
        ),
    )
