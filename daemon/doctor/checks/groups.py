"""May the daemon's user, and yours, open the GPUs? Their device files belong to groups."""

from collections.abc import Sequence

from daemon.doctor.checks.finding import Finding, error, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import ProblemKind
from probes.system.accounts import Account
from probes.system.setup import DeviceNode

ROOT = 0
BOTH = 0o6  # read and write
NO_GPU = "engines see no GPU, and models run on the CPU"


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    nodes = facts.system.nodes
    own = _own(facts, nodes) or _refused(facts)
    if not nodes and not own:
        return ()
    found = [*own, *_service(facts, nodes), *_caller(facts, nodes)]
    if found:
        return tuple(found)
    who = facts.runs_as.name if facts.runs_as else "this process"
    return ok(f"{who} may open {', '.join(node.path for node in nodes)}")


def _own(facts: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    """Of the process that looks: the daemon, or the command where none runs."""
    closed = [node for node in nodes if not node.may_open]
    if not closed:
        return []
    who = facts.runs_as or Account("this user", uid=-1)
    if _looks_in_place_of_the_service(facts):
        return [_you(facts, who, closed)]
    names = _names(facts, {node.group for node in closed})
    paths = ", ".join(node.path for node in closed)
    if all(node.group in who.groups for node in closed):
        anew = "log in again, then node-ctl shutdown: the next command starts a new daemon"
        again = "sudo systemctl restart node-daemon" if facts.daemon.as_service else anew
        found = (
            f"{who.name} is in {names} by now, and this process began before that: it may not open {paths}"
        )
        return [error(found, why=NO_GPU, fix=again)]
    return [error(f"{who.name} may not open {paths}", why=NO_GPU, fix=_add(who, names, facts))]


def _refused(facts: DoctorInput) -> list[Finding]:
    """What a driver refused though the device files look open."""
    return [
        error(problem.what, why=NO_GPU, fix=problem.hint)
        for problem in facts.hardware.problems
        if problem.trouble is ProblemKind.CLOSED
    ]


def _service(facts: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    """The unit's user, where another process looks."""
    user = facts.unit_user
    if user is None or (facts.runs_as and facts.runs_as.uid == user.uid):
        return []
    closed = _closed(user, nodes)
    if not closed:
        return []
    names = _names(facts, {node.group for node in closed})
    found = f"the service's user {user.name} may not open {', '.join(node.path for node in closed)}"
    return [error(found, why="the service can't use the GPU", fix=_add(user, names, facts))]


def _caller(facts: DoctorInput, nodes: Sequence[DeviceNode]) -> list[Finding]:
    caller = facts.caller
    if caller is None or (facts.runs_as and facts.runs_as.uid == caller.uid):
        return []
    closed = _closed(caller, nodes)
    return [_you(facts, caller, closed)] if closed else []


def _you(facts: DoctorInput, who: Account, closed: Sequence[DeviceNode]) -> Finding:
    names = _names(facts, {node.group for node in closed})
    found = f"you ({who.name}) may not open {', '.join(node.path for node in closed)}"
    why = "the service is not affected; engines and tools that you start yourself see no GPU"
    return warning(found, why=why, fix=_add(who, names, facts))


def _looks_in_place_of_the_service(facts: DoctorInput) -> bool:
    """The one who looks starts no engines then."""
    user, own = facts.unit_user, facts.runs_as
    return bool(facts.daemon.silent and user and own and user.uid != own.uid)


def _closed(who: Account, nodes: Sequence[DeviceNode]) -> list[DeviceNode]:
    if who.uid == ROOT:
        return []
    return [
        node
        for node in nodes
        if node.mode & BOTH != BOTH
        and not node.has_acl
        and not (node.group in who.groups and _for_group(node))
    ]


def _for_group(node: DeviceNode) -> bool:
    return node.mode >> 3 & BOTH == BOTH


def _add(who: Account, names: str, facts: DoctorInput) -> str:
    is_service = facts.unit is not None and facts.unit.user == who.name
    then = "sudo systemctl restart node-daemon" if is_service else "log in again"
    return f"sudo usermod -aG {names} {who.name}, then {then}"


def _names(facts: DoctorInput, numbers: set[int]) -> str:
    return ",".join(sorted(facts.groups.get(number, str(number)) for number in numbers))
