"""Can the model hub be reached? Checked only on request: --hub."""

from daemon.doctor.checks.finding import Finding, error, not_known, ok
from daemon.doctor.checks.input import DoctorInput


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    hub = inputs.hub
    if hub is None:
        return ()
    if not hub.asked:
        return not_known("whether the hub can be reached: the setting offline forbids asking")
    if not hub.error:
        return ok(f"{hub.address} answered in {hub.seconds or 0:.1f} s")
    return (
        error(
            f"{hub.address}: {hub.error}",
            why="only models whose weights are on this disk can be launched",
            fix="check network, DNS and proxy (HTTPS_PROXY in the unit's environment), or set HF_ENDPOINT",
        ),
    )
