"""What systemd says about a unit: its limits, its sandbox, how it ended last. A child with a time limit."""

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
    """A loaded unit. ``device_allow`` are the devices that a policy lets through, each with its rights;
    ``memlock_bytes`` is ``None`` where it is unlimited or was not told (``memlock_unlimited`` tells)."""

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


def show(unit: str) -> Unit | None:
    """``None`` for a unit that is not installed, and where no systemd can be asked."""
    program = shutil.which("systemctl")
    if program is None:
        return None
    said = _said([program, "show", f"--property={','.join(PROPERTIES)}", unit])
    return None if said is None else parse(unit, said)


def journal(unit: str, lines: int) -> str:
    """The last lines of the unit; empty where this user may not read them."""
    program = shutil.which("journalctl")
    if program is None:
        return ""
    argv = [program, "--quiet", "--no-pager", "--output=short-iso", f"--lines={lines}", f"--unit={unit}"]
    return _said(argv) or ""


def _said(argv: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SHOW_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def parse(unit: str, text: str) -> Unit | None:
    """``Key=value`` lines; a list of devices comes as several lines of one key."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            said.setdefault(key, []).append(value)
    one = {key: values[0] for key, values in said.items()}
    if one.get("LoadState") != "loaded":
        return None
    limit = one.get("LimitMEMLOCK", "")
    return Unit(
        name=unit,
        active=one.get("ActiveState", ""),
        sub=one.get("SubState", ""),
        result=one.get("Result", ""),
        restarts=_number(one.get("NRestarts")),
        main_pid=_number(one.get("MainPID")) or None,
        user=one.get("User", ""),
        memlock_bytes=_number(limit),
        memlock_unlimited=limit == "infinity",
        private_devices=one.get("PrivateDevices") == "yes",
        device_policy=one.get("DevicePolicy", ""),
        device_allow=tuple(value for value in said.get("DeviceAllow", ()) if value),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
