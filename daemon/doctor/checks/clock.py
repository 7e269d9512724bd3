"""Is the clock synchronised with a time server?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.clock_synchronised is None:
        return not_known("whether the clock is synchronised: reading its state is not permitted here")
    if inputs.clock_synchronised:
        return ok("synchronised")
    return (
        warning(
            "the clock is not synchronised with a time server",
            why="with a wrong clock downloads fail (certificates), and events and schedules have wrong times",
            fix="sudo timedatectl set-ntp true (Debian: sudo apt install systemd-timesyncd first)",
        ),
    )
