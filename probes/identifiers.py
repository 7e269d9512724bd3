"""What of this machine is nobody's business: its names, its people, its serial numbers.

Read to be left out of what an owner shows to others.
"""

import pwd
import socket
from pathlib import Path

from domain.redact import Private
from probes import sysfs

FIRST_LOGIN_UID, NOBODY_UID = 1000, 65534
DMI = (
    "product_serial",
    "board_serial",
    "chassis_serial",
    "product_uuid",
    "chassis_asset_tag",
    "board_asset_tag",
)
NUMBERS = ("etc/machine-id", "proc/sys/kernel/random/boot_id")
# Folders of devices, and where below each lies a number that no other device has
DEVICES = {
    "sys/class/net": ("address",),
    "sys/block": ("device/serial", "device/wwid", "wwid", "device/vpd_pg80"),
    "sys/class/drm": ("device/unique_id",),
    "sys/class/power_supply": ("serial_number",),
}
# What firmware writes where nobody filled in a number
FILLERS = frozenset(
    {"", "none", "default string", "to be filled by o.e.m.", "not specified", "system serial number"}
)
SHORTEST = 4  # a shorter number would be found inside of others


def read_identifiers(root: Path) -> Private:
    people = [one for one in pwd.getpwall() if FIRST_LOGIN_UID <= one.pw_uid < NOBODY_UID]
    return Private(
        hosts=_hosts(root),
        users=tuple(one.pw_name for one in people),
        homes=tuple(one.pw_dir for one in people if one.pw_dir.count("/") > 1),
        numbers=tuple(sorted(set(_numbers(root)), key=len, reverse=True)),
    )


def _hosts(root: Path) -> tuple[str, ...]:
    names = {socket.gethostname(), sysfs.read(root / "etc/hostname") or ""}
    names |= {name.partition(".")[0] for name in names}
    return tuple(sorted(names - {"", "localhost"}, key=len, reverse=True))


def _numbers(root: Path) -> list[str]:
    paths = [root / "sys/class/dmi/id" / name for name in DMI] + [root / name for name in NUMBERS]
    for folder, names in DEVICES.items():
        paths += [root / folder / device / name for device in sysfs.entries(root / folder) for name in names]
    found = ((sysfs.read(path) or "").strip() for path in paths)
    return [
        number
        for number in found
        if number.lower() not in FILLERS and len(number) >= SHORTEST and number.strip("0:.- ")
    ]
