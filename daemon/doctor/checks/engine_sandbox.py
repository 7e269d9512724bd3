"""Are engines kept from the daemon's files and tokens, and from the network?"""

from daemon.doctor.checks.finding import Finding, not_known, ok, warning
from daemon.doctor.checks.input import DoctorInput, LaunchHealth
from launchers.sandbox.landlock import PORTS_SINCE, SCOPES_SINCE

LOST = "no limit of memory, swap and GPUs of its own, no weights of CPU and disk"  # outside a unit
RISK = "a model or a template that takes over an engine"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    support = inputs.sandbox_support
    if not inputs.engine_sandbox:
        return (
            warning(
                "engine_sandbox is false: engines may do what the daemon's user may",
                why=f"{RISK} reads that user's files and tokens, and sends them anywhere",
                fix="set engine_sandbox = true and restart the daemon; engine_folders names what an unusual "
                "engine needs besides",
            ),
        )
    if support is None:
        return not_known("what this kernel can limit")
    findings = (*_files(support.landlock), *_calls(has_filters=support.seccomp), *_users(inputs.launches))
    return findings or ok(f"landlock (ABI {support.landlock}) and seccomp{_told(inputs)}")


def _files(version: int | None) -> tuple[Finding, ...]:
    if version is None:
        return (
            warning(
                "this kernel has no landlock: engines may open every file that the daemon's user may",
                why=f"{RISK} reads that user's tokens and the daemon's state, and writes its files",
                fix="boot a kernel 5.13 or newer with landlock: /sys/kernel/security/lsm shows whether it "
                "is in use, lsm=landlock,... on the kernel command line adds it",
            ),
        )
    lost = [
        what
        for since, what in ((PORTS_SINCE, "TCP ports"), (SCOPES_SINCE, "signals and abstract sockets"))
        if version < since
    ]
    if not lost:
        return ()
    return (
        warning(
            f"this kernel's landlock (ABI {version}) limits files, but no {' nor '.join(lost)}",
            why=f"{RISK} listens on any port, ends programs of the same user, and, where it is vLLM or uses "
            "RPC servers, connects anywhere",
            fix="boot a kernel 6.12 or newer (Debian 12 has one in its backports)",
        ),
    )


def _users(launches: tuple[LaunchHealth, ...] | None) -> tuple[Finding, ...]:
    """Those of which something can be done."""
    return tuple(
        warning(
            f"{launch.name} runs under the daemon's own user: {because}",
            why=f"{RISK} has only this kernel's limits between it and the daemon's files; it has {LOST}",
            fix=because.hint.replace("NAME", launch.name),
        )
        for launch in launches or ()
        if (because := launch.own_user_because) is not None and because.hint
    )


def _told(inputs: DoctorInput) -> str:
    """Of what nothing has to be done about."""
    if inputs.daemon.unreachable:
        return ""
    if not inputs.daemon.as_service:
        return f"; engines are process groups, with {LOST}: the system service has units for them"
    return "".join(
        f"; {launch.name} runs under the daemon's own user, with {LOST}: {because}"
        for launch in inputs.launches or ()
        if (because := launch.own_user_because) is not None
    )


def _calls(*, has_filters: bool) -> tuple[Finding, ...]:
    if has_filters:
        return ()
    return (
        warning(
            "no seccomp filter for this kernel and CPU: engines may use every system call",
            why=f"{RISK} opens connections, and has more of the kernel to attack",
            fix="boot a kernel with CONFIG_SECCOMP_FILTER; there are filters for x86_64 and aarch64",
        ),
    )
