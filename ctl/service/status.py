"""What systemd says about the service."""

import os
from dataclasses import dataclass
from pathlib import Path

from ctl.service.steps import UNIT, Target, needs_systemd, run

PROPERTIES = (
    "LoadState,UnitFileState,ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestamp,StatusText,Result"
)
GROUP = Path("/sys/fs/cgroup/system.slice") / UNIT / "cgroup.procs"


@dataclass(frozen=True, slots=True)
class Found:
    """``left_over`` are processes of engines whose daemon is gone: it crashed, and was not started again."""

    unit: str | None
    enabled: bool
    active: str
    pid: int | None
    restarts: int
    since: str | None
    says: str | None
    last_result: str
    left_over: tuple[int, ...]


def look(target: Target) -> Found:
    """Raises: NodeError where systemd does not run this machine."""
    needs_systemd(hint="node-ctl status asks a node-daemon that was started by hand")
    shown = run(["systemctl", "show", f"--property={PROPERTIES}", UNIT])
    said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return Found(
        unit=str(target.unit) if said["LoadState"] == "loaded" else None,
        enabled=said["UnitFileState"] == "enabled",
        active=said["SubState"] if said["SubState"] == "auto-restart" else said["ActiveState"],
        pid=int(said["MainPID"]) or None,
        restarts=int(said["NRestarts"]),
        since=said["ActiveEnterTimestamp"] or None,
        says=said["StatusText"] or None,
        last_result=said["Result"],
        left_over=() if said["MainPID"] != "0" else left_over(),
    )


def left_over() -> tuple[int, ...]:
    """Of the service's control group while no daemon is in it."""
    return tuple(int(pid) for pid in GROUP.read_text().split()) if os.access(GROUP, os.R_OK) else ()


def lines(found: Found) -> list[str]:
    if found.unit is None:
        return ["node-daemon is not installed as a service", "hint: sudo node-ctl service install --now"]
    starts = "starts at boot" if found.enabled else "does not start at boot"
    told = [f"{found.unit}: {found.active}, {starts}"]
    if found.pid:
        told.append(
            f"pid {found.pid} since {found.since}, restarted {found.restarts} times: {found.says or '-'}"
        )
    elif found.last_result != "success":
        told.append(f"ended with {found.last_result}; see: journalctl -u node-daemon")
    if found.left_over:
        told.append(
            f"{len(found.left_over)} processes of engines run without a daemon; starting it adopts them"
        )
    return told
