"""Does the clock follow a time server?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    if facts.clock_synchronised is None:
        return not_known("whether the clock is synchronised: the kernel may not be asked here")
    if facts.clock_synchronised:
        return ok("synchronised")
    return (
        warning(
            "the clock follows no time server",
            why="a wrong clock makes downloads fail (certificates), and events and schedules lie",
            fix="sudo timedatectl set-ntp true (Debian: sudo apt install systemd-timesyncd first)",
        ),
    )
