"""Are the launched models served?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput, LaunchHealth
from domain.launches.launch import LaunchState

UNHEALTHY = (LaunchState.FAILED, LaunchState.DEGRADED)


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.launches is None:
        return not_known("the state of the launches: it can't be read", fix="run sudo node-ctl doctor")
    stuck = tuple(_stuck(launch) for launch in inputs.launches if launch.stuck_pid is not None)
    findings = (*stuck, *(_unhealthy(launch) for launch in inputs.launches if launch.state in UNHEALTHY))
    if findings:
        return findings
    desired = [launch for launch in inputs.launches if launch.desired]
    if inputs.daemon.unreachable and desired:
        names = ", ".join(launch.name for launch in desired)
        return not_known(f"the state of {names}: no daemon supervises it")
    return ok(f"{len(desired)} desired and none failed" if desired else "nothing is launched")


def _stuck(launch: LaunchHealth) -> Finding:
    return error(
        f"{launch.name}: {launch.last_error or f'process {launch.stuck_pid} does not end'}",
        why="its memory stays in use, and nothing can be launched under that name until the process is gone",
        fix="the kernel does not end it, usually because a GPU or a disk hangs: see dmesg; a reboot ends it",
    )


def _unhealthy(launch: LaunchHealth) -> Finding:
    cause = launch.last_error or "the cause is unknown"
    logs = f"node-ctl logs {launch.name}"
    if not launch.desired:
        return warning(
            f"{launch.name} failed and is not restarted: {cause}",
            why="it is not served, and no further attempt is made",
            fix=f"fix the cause ({logs} shows the engine's output, if one was started) and launch it again, "
            f"or remove it: node-ctl stop {launch.name} --forget",
        )
    restarts = (
        f" after {launch.restarts} restart{'s' if launch.restarts > 1 else ''}" if launch.restarts else ""
    )
    fix = f"{logs} shows the engine's output, node-ctl events each attempt"
    if launch.state is LaunchState.FAILED:
        return error(f"{launch.name} failed{restarts}: {cause}", why="it is desired and not served", fix=fix)
    return warning(
        f"{launch.name} is degraded{restarts}: {cause}", why="it was not served in the meantime", fix=fix
    )
