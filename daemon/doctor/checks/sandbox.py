"""Does a sandbox hide a GPU from the engines?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok
from daemon.doctor.checks.input import DoctorInput
from domain.hardware import Problem, ProblemKind
from probes.system.systemd import Unit

# The names of character devices in /proc/devices, as DeviceAllow= takes them. Drivers before 550 called the
# first one char-nvidia-frontend
NEEDED = {
    "nvidia": ("char-nvidia", "char-nvidiactl", "char-nvidia-uvm", "char-nvidia-caps", "char-drm"),
    "amd": ("char-kfd", "char-drm", "char-accel"),
    "intel": ("char-drm", "char-accel"),
}
# What an engine can't do without; the others are for partitions, for drawing and for NPUs
LEAST = {
    "nvidia": ("char-nvidia", "char-nvidia-uvm"),
    "amd": ("char-kfd", "char-drm"),
    "intel": ("char-drm",),
}
WHY = "the driver answers as if there were no GPU, and models run on the CPU"
UVM = "/dev/nvidia-uvm"


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    hidden = tuple(
        error(problem.what, why=WHY, fix=_let_through(facts, problem))
        for problem in facts.hardware.problems
        if problem.trouble is ProblemKind.HIDDEN
    )
    vendors = sorted({gpu.vendor for gpu in facts.hardware.gpus} & NEEDED.keys())
    found = (*hidden, *_by_the_unit(facts.unit, vendors, hidden=bool(hidden)), *_without_uvm(facts))
    if found or not vendors:
        return found
    if facts.unit is None and facts.daemon.as_service:
        return not_known("systemd does not say what the unit may open")
    return ok("nothing hides a GPU")


def _let_through(facts: DoctorInput, problem: Problem) -> str:
    if facts.daemon.as_service:
        return problem.hint
    return f"in a container, start it with the GPU's devices (--gpus all, --device); {problem.hint}"


def _by_the_unit(unit: Unit | None, vendors: list[str], *, hidden: bool) -> tuple[Finding, ...]:
    if unit is None or not (vendors or hidden):
        return ()
    if unit.private_devices:
        fix = "sudo systemctl edit node-daemon, add [Service] and PrivateDevices=no, then restart it"
        return (error("the unit has PrivateDevices=yes", why=WHY, fix=fix),)
    if unit.device_policy in ("", "auto") and not unit.device_allow:
        return ()
    allowed = {rule.split()[0] for rule in unit.device_allow}
    missing = [name for vendor in vendors for name in LEAST[vendor] if name not in allowed]
    if not missing:
        return ()
    lines = ", ".join(f"DeviceAllow={name}" for vendor in vendors for name in NEEDED[vendor])
    return (
        error(
            f"the unit lets through {', '.join(sorted(allowed)) or 'nothing'}, not {', '.join(missing)}",
            why=WHY,
            fix=f"sudo systemctl edit node-daemon, add [Service] and, a line each, {lines}; then restart it",
        ),
    )


def _without_uvm(facts: DoctorInput) -> tuple[Finding, ...]:
    paths = {node.path for node in facts.system.nodes}
    if "/dev/nvidiactl" not in paths or UVM in paths:
        return ()
    return (
        error(
            f"{UVM} is not there",
            why="CUDA finds no device; a service may not make it, for its tool needs root",
            fix="sudo nvidia-modprobe -u -c 0, then launch again; the unit does it at each start",
        ),
    )
