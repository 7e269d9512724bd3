"""The state of the service, from systemd."""

import os
from dataclasses import dataclass
from pathlib import Path

from ctl.service.steps import ENGINE_UNITS, SLICE, UNIT, Target, require_systemd, run

PROPERTIES = (
    "LoadState,UnitFileState,ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestamp,StatusText,Result"
)
PARENT = Path("/sys/fs/cgroup/system.slice")
BEFORE = r"system-node\x2ddaemon\x2dengine.slice"  # of engines that were started before ours was there
GROUPS = (f"{UNIT}/cgroup.procs", *(f"{name}/{ENGINE_UNITS}/cgroup.procs" for name in (SLICE, BEFORE)))


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The fields of --json. ``left_over`` are engines whose daemon crashed and was not started again."""

    unit: str | None
    enabled: bool
    active: str
    pid: int | None
    restarts: int
    since: str | None
    says: str | None
    last_result: str
    left_over: tuple[int, ...]


def read_status(target: Target) -> ServiceStatus:
    """Raises: NodeError where systemd does not run this machine."""
    require_systemd(hint="for a node-daemon that was started by hand, use node-ctl status")
    shown = run(["systemctl", "show", f"--property={PROPERTIES}", UNIT])
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return ServiceStatus(
        unit=str(target.unit) if values["LoadState"] == "loaded" else None,
        enabled=values["UnitFileState"] == "enabled",
        active=values["SubState"] if values["SubState"] == "auto-restart" else values["ActiveState"],
        pid=int(values["MainPID"]) or None,
        restarts=int(values["NRestarts"]),
        since=values["ActiveEnterTimestamp"] or None,
        says=values["StatusText"] or None,
        last_result=values["Result"],
        left_over=() if values["MainPID"] != "0" else orphans(),
    )


def orphans() -> tuple[int, ...]:
    """The processes in the control groups of the service and of its engines' units."""
    files = [file for pattern in GROUPS for file in PARENT.glob(pattern) if os.access(file, os.R_OK)]
    return tuple(int(pid) for file in files for pid in file.read_text().split())


def status_lines(status: ServiceStatus) -> list[str]:
    if status.unit is None:
        return ["node-daemon is not installed as a service", "hint: sudo node-ctl service install --now"]
    starts = "starts at boot" if status.enabled else "does not start at boot"
    lines = [f"{status.unit}: {status.active}, {starts}"]
    if status.pid:
        lines.append(
            f"pid {status.pid} since {status.since}, restarted {status.restarts} times: {status.says or '-'}"
        )
    elif status.last_result != "success":
        lines.append(f"ended with {status.last_result}: see journalctl -u node-daemon")
    if status.left_over:
        lines.append(
            f"{len(status.left_over)} engine processes run without a daemon; it adopts them when it starts"
        )
    return lines
