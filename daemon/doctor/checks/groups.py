"""May the daemon's user, and you, open the GPUs? Their device nodes belong to groups."""

from collections.abc import Sequence

from daemon.doctor.checks.finding import Finding, error, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import ProblemKind
from probes.system.accounts import Account
from probes.system.setup import DeviceNode

ROOT = 0
READ_WRITE = 0o6
NO_GPU = "engines see no GPU, and models run on the CPU"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    nodes = inputs.system.nodes
    own = _own(inputs, nodes) or _refused(inputs)
    if not nodes and not own:
        return ()
    findings = [*own, *_service(inputs, nodes), *_caller(inputs, nodes)]
    if findings:
        return tuple(findings)
    user = inputs.runs_as.name if inputs.runs_as else "this process"
    return ok(f"{user} may open {_paths(nodes)}")


def _own(inputs: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    """Of this process: the daemon, or the command if no daemon runs."""
    closed = [node for node in nodes if not node.may_open]
    if not closed:
        return []
    user = inputs.runs_as or Account("this user", uid=-1)
    if _is_in_place_of_the_service(inputs):
        return [_caller_finding(inputs, user, closed)]
    names = _group_names(inputs, closed)
    if all(node.group in user.groups for node in closed):
        relogin = "log in again, then node-ctl shutdown: the next command starts a new daemon"
        fix = "sudo systemctl restart node-daemon" if inputs.daemon.as_service else relogin
        found = (
            f"{user.name} is in {names}, but this process was started before that: "
            f"it may not open {_paths(closed)}"
        )
        return [error(found, why=NO_GPU, fix=fix)]
    return [error(f"{user.name} may not open {_paths(closed)}", why=NO_GPU, fix=_add_to(inputs, user, names))]


def _refused(inputs: DoctorInput) -> list[Finding]:
    """GPUs that a driver refused although the device nodes look accessible."""
    return [
        error(problem.what, why=NO_GPU, fix=problem.hint)
        for problem in inputs.hardware.problems
        if problem.trouble is ProblemKind.CLOSED
    ]


def _service(inputs: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    """The unit's user, if this process is not the service."""
    user = inputs.unit_user
    if user is None or (inputs.runs_as and inputs.runs_as.uid == user.uid):
        return []
    closed = _closed_to(user, nodes)
    if not closed:
        return []
    found = f"the service's user {user.name} may not open {_paths(closed)}"
    fix = _add_to(inputs, user, _group_names(inputs, closed))
    return [error(found, why="the service can't use the GPU", fix=fix)]


def _caller(inputs: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    caller = inputs.caller
    if caller is None or (inputs.runs_as and inputs.runs_as.uid == caller.uid):
        return []
    closed = _closed_to(caller, nodes)
    return [_caller_finding(inputs, caller, closed)] if closed else []


def _caller_finding(inputs: DoctorInput, user: Account, closed: Sequence[DeviceNode]) -> Finding:
    found = f"you ({user.name}) may not open {_paths(closed)}"
    why = "the service is not affected; engines and tools that you start yourself see no GPU"
    return warning(found, why=why, fix=_add_to(inputs, user, _group_names(inputs, closed)))


def _is_in_place_of_the_service(inputs: DoctorInput) -> bool:
    """Then this process starts no engines."""
    user, own = inputs.unit_user, inputs.runs_as
    return bool(inputs.daemon.unreachable and user and own and user.uid != own.uid)


def _closed_to(user: Account, nodes: Sequence[DeviceNode]) -> list[DeviceNode]:
    if user.uid == ROOT:
        return []
    return [
        node
        for node in nodes
        if node.mode & READ_WRITE != READ_WRITE
        and not node.has_acl
        and not (node.group in user.groups and _is_open_to_group(node))
    ]


def _is_open_to_group(node: DeviceNode) -> bool:
    return node.mode >> 3 & READ_WRITE == READ_WRITE


def _add_to(inputs: DoctorInput, user: Account, groups: str) -> str:
    is_service = inputs.unit is not None and inputs.unit.user == user.name
    then = "sudo systemctl restart node-daemon" if is_service else "log in again"
    return f"sudo usermod -aG {groups} {user.name}, then {then}"


def _group_names(inputs: DoctorInput, nodes: Sequence[DeviceNode]) -> str:
    ids = {node.group for node in nodes}
    return ",".join(sorted(inputs.groups.get(group, str(group)) for group in ids))


def _paths(nodes: Sequence[DeviceNode]) -> str:
    return ", ".join(node.path for node in nodes)
