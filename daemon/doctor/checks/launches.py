"""Is what was launched served?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput, LaunchHealth
from domain.launch import LaunchState

BAD = (LaunchState.FAILED, LaunchState.DEGRADED)


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    if facts.launches is None:
        return not_known("the state of the launches can't be read", fix="sudo node-ctl doctor reads it")
    stuck = tuple(_stuck(one) for one in facts.launches if one.stuck_pid is not None)
    bad = (*stuck, *(_bad(one) for one in facts.launches if one.state in BAD))
    if bad:
        return bad
    wanted = [one for one in facts.launches if one.wanted]
    if facts.daemon.silent and wanted:
        return not_known(f"{', '.join(one.name for one in wanted)}: no daemon watches")
    return ok(f"{len(wanted)} wanted, none failed" if wanted else "nothing is launched")


def _stuck(one: LaunchHealth) -> Finding:
    return error(
        f"{one.name}: {one.last_error or f'process {one.stuck_pid} does not end'}",
        why="it holds its memory, and nothing can be launched under that name until it is gone",
        fix="the kernel holds it, most often for a GPU or a disk that hangs: see dmesg; a reboot ends it",
    )


def _bad(one: LaunchHealth) -> Finding:
    said = one.last_error or "no cause is known"
    if not one.wanted:
        return warning(
            f"{one.name} failed and was given up: {said}",
            why="it is not served, and nobody tries again",
            fix=f"mend it and launch it again (node-ctl logs {one.name}: what the engine said), or clear it: "
            f"node-ctl stop {one.name} --forget",
        )
    tries = f" after {one.restarts} tries" if one.restarts else ""
    fix = f"node-ctl logs {one.name} shows the engine's words; node-ctl events tells each try"
    if one.state is LaunchState.FAILED:
        return error(f"{one.name} failed{tries}: {said}", why="it is wanted and not served", fix=fix)
    return warning(f"{one.name} comes back{tries}: {said}", why="it was not served meanwhile", fix=fix)
