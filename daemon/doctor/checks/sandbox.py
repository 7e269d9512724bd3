"""Does a sandbox hide a GPU from the engines?"""

from daemon.doctor.checks.finding import Finding, error, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput
from domain.machine.hardware import Problem, ProblemKind
from probes.system.systemd import Unit

# Names of character devices in /proc/devices, as DeviceAllow= accepts them. Drivers before 550 called the
# first one char-nvidia-frontend
RECOMMENDED = {
    "nvidia": ("char-nvidia", "char-nvidiactl", "char-nvidia-uvm", "char-nvidia-caps", "char-drm"),
    "amd": ("char-kfd", "char-drm", "char-accel"),
    "intel": ("char-drm", "char-accel"),
}
# Those without which an engine does not work; the others are for partitions, graphics and NPUs
REQUIRED = {
    "nvidia": ("char-nvidia", "char-nvidia-uvm"),
    "amd": ("char-kfd", "char-drm"),
    "intel": ("char-drm",),
}
WHY = "engines see no GPU, and models run on the CPU"
WHY_ONE = "models use the other GPUs only, which may be as you want it"
UVM = "/dev/nvidia-uvm"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    hidden = tuple(
        _hidden(inputs, problem)
        for problem in inputs.hardware.problems
        if problem.trouble in (ProblemKind.HIDDEN, ProblemKind.NO_NODE)
    )
    vendors = sorted({gpu.vendor for gpu in inputs.hardware.gpus} & RECOMMENDED.keys())
    findings = (*hidden, *_unit(inputs.unit, vendors, hidden=bool(hidden)), *_missing_uvm(inputs))
    if findings or not vendors:
        return findings
    if inputs.unit is None and inputs.daemon.as_service:
        return not_known("which devices the unit may open: systemd does not report it")
    return ok("no GPU is hidden")


def _hidden(inputs: DoctorInput, problem: Problem) -> Finding:
    fix = problem.hint
    if problem.trouble is ProblemKind.HIDDEN and not inputs.daemon.as_service:
        fix = f"in a container, start it with the GPU's devices (--gpus all, --device); {fix}"
    if any(gpu.vendor == problem.source for gpu in inputs.hardware.gpus):
        return warning(problem.what, why=WHY_ONE, fix=fix)
    return error(problem.what, why=WHY, fix=fix)


def _unit(unit: Unit | None, vendors: list[str], *, hidden: bool) -> tuple[Finding, ...]:
    if unit is None or not (vendors or hidden):
        return ()
    if unit.private_devices:
        fix = "sudo systemctl edit node-daemon, add [Service] and PrivateDevices=no, then restart it"
        return (error("the unit has PrivateDevices=yes", why=WHY, fix=fix),)
    if unit.device_policy in ("", "auto") and not unit.device_allow:
        return ()
    allowed = {rule.split()[0] for rule in unit.device_allow}
    missing = [name for vendor in vendors for name in REQUIRED[vendor] if name not in allowed]
    if not missing:
        return ()
    allows = f"{', '.join(sorted(allowed))}, but not" if allowed else "no devices; engines need"
    lines = ", ".join(f"DeviceAllow={name}" for vendor in vendors for name in RECOMMENDED[vendor])
    return (
        error(
            f"the unit allows {allows} {', '.join(missing)}",
            why=WHY,
            fix=f"sudo systemctl edit node-daemon, add [Service] and, one per line, {lines}; then restart it",
        ),
    )


def _missing_uvm(inputs: DoctorInput) -> tuple[Finding, ...]:
    paths = {node.path for node in inputs.system.nodes}
    if "/dev/nvidiactl" not in paths or UVM in paths:
        return ()
    return (
        error(
            f"{UVM} does not exist",
            why="CUDA finds no device; a service can't create it, because that needs root",
            fix="sudo nvidia-modprobe -u -c 0, then launch again; the unit does it at each start",
        ),
    )
