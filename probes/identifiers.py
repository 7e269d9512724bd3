"""Reads what identifies this machine and its users: host names, user names, home folders, serial numbers.

``domain/anonymize.py`` removes them from what an owner shows to others.
"""

import pwd
import socket
from pathlib import Path

from domain.anonymize import Identifiers
from probes import sysfs

FIRST_LOGIN_UID, NOBODY_UID = 1000, 65534
DMI_FILES = (
    "product_serial",
    "board_serial",
    "chassis_serial",
    "product_uuid",
    "chassis_asset_tag",
    "board_asset_tag",
)
MACHINE_FILES = ("etc/machine-id", "proc/sys/kernel/random/boot_id")
# Folders of devices, and the files of each device with a number that is unique to it
DEVICE_FILES = {
    "sys/class/net": ("address",),
    "sys/block": ("device/serial", "device/wwid", "wwid", "device/vpd_pg80"),
    "sys/class/drm": ("device/unique_id",),
    "sys/class/power_supply": ("serial_number",),
}
# What firmware has in place of a number that the vendor did not fill in
PLACEHOLDERS = frozenset(
    {"", "none", "default string", "to be filled by o.e.m.", "not specified", "system serial number"}
)
MIN_LENGTH = 4  # a shorter number would match inside others


def read_identifiers(root: Path) -> Identifiers:
    people = [entry for entry in pwd.getpwall() if FIRST_LOGIN_UID <= entry.pw_uid < NOBODY_UID]
    return Identifiers(
        hosts=_hosts(root),
        users=tuple(entry.pw_name for entry in people),
        homes=tuple(entry.pw_dir for entry in people if entry.pw_dir.count("/") > 1),
        numbers=tuple(sorted(set(_numbers(root)), key=len, reverse=True)),
    )


def _hosts(root: Path) -> tuple[str, ...]:
    names = {socket.gethostname(), sysfs.read(root / "etc/hostname") or ""}
    names |= {name.partition(".")[0] for name in names}
    return tuple(sorted(names - {"", "localhost"}, key=len, reverse=True))


def _numbers(root: Path) -> list[str]:
    paths = [root / "sys/class/dmi/id" / name for name in DMI_FILES] + [root / name for name in MACHINE_FILES]
    for folder, names in DEVICE_FILES.items():
        paths += [root / folder / device / name for device in sysfs.entries(root / folder) for name in names]
    values = ((sysfs.read(path) or "").strip() for path in paths)
    return [
        value
        for value in values
        if value.lower() not in PLACEHOLDERS and len(value) >= MIN_LENGTH and value.strip("0:.- ")
    ]
