"""Can models be fetched? Looked at only when it is asked for: --hub."""

from daemon.doctor.checks.finding import Finding, error, not_known, ok
from daemon.doctor.checks.input import DoctorInput


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    if facts.hub is None:
        return ()
    if not facts.hub.asked:
        return not_known("the setting offline is true, so the hub was not asked")
    if not facts.hub.error:
        return ok(f"{facts.hub.address} answered in {facts.hub.seconds or 0:.1f} s")
    return (
        error(
            f"{facts.hub.address}: {facts.hub.error}",
            why="only weights that lie on this disk can be launched",
            fix="look at network, DNS and proxy (HTTPS_PROXY in the unit's environment), or set HF_ENDPOINT",
        ),
    )
