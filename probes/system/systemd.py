"""Reads a unit's properties and journal from systemd, through a child process with a timeout."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

SHOW_TIMEOUT_S = 5.0
PROPERTIES = (
    "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "User", "LimitMEMLOCK",
    "PrivateDevices", "DevicePolicy", "DeviceAllow",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """A loaded unit. ``device_allow`` are the devices that the policy allows, each with its permissions;
    ``memlock_bytes`` is ``None`` if it is unlimited (``memlock_unlimited``) or unknown."""

    name: str
    active: str = ""
    sub: str = ""
    result: str = ""
    restarts: int | None = None
    main_pid: int | None = None
    user: str = ""
    memlock_bytes: int | None = None
    memlock_unlimited: bool = False
    private_devices: bool = False
    device_policy: str = ""
    device_allow: tuple[str, ...] = ()


def read_unit(unit: str) -> Unit | None:
    """None if the unit is not installed or systemd cannot be reached."""
    program = shutil.which("systemctl")
    if program is None:
        return None
    output = _output([program, "show", f"--property={','.join(PROPERTIES)}", unit])
    return None if output is None else parse_unit(unit, output)


def read_journal(unit: str, lines: int) -> str:
    """The last lines of the unit's journal; empty if this user may not read it."""
    program = shutil.which("journalctl")
    if program is None:
        return ""
    argv = [program, "--quiet", "--no-pager", "--output=short-iso", f"--lines={lines}", f"--unit={unit}"]
    return _output(argv) or ""


def _output(argv: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SHOW_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def parse_unit(unit: str, text: str) -> Unit | None:
    """Lines of ``Key=value``; a list of devices is several lines with the same key."""
    lists: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            lists.setdefault(key, []).append(value)
    properties = {key: values[0] for key, values in lists.items()}
    if properties.get("LoadState") != "loaded":
        return None
    limit = properties.get("LimitMEMLOCK", "")
    return Unit(
        name=unit,
        active=properties.get("ActiveState", ""),
        sub=properties.get("SubState", ""),
        result=properties.get("Result", ""),
        restarts=_number(properties.get("NRestarts")),
        main_pid=_number(properties.get("MainPID")) or None,
        user=properties.get("User", ""),
        memlock_bytes=_number(limit),
        memlock_unlimited=limit == "infinity",
        private_devices=properties.get("PrivateDevices") == "yes",
        device_policy=properties.get("DevicePolicy", ""),
        device_allow=tuple(value for value in lists.get("DeviceAllow", ()) if value),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
