"""The version of the package that the drivers' firmware comes from: dpkg's, pacman's, RPM's list.

The firmware of AMD's GPUs has had bad releases (linux-firmware 20251125 on Strix Halo, by the notes of
github.com/kyuz0/amd-strix-halo-toolboxes), and a GPU doesn't tell which one it runs.
"""

import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from probes import sysfs

# Debian has a package a vendor, Fedora too; the order is that of what says most about AMD's
NAMES = ("firmware-amd-graphics", "amd-gpu-firmware", "linux-firmware-amdgpu", "linux-firmware")

DPKG = Path("var/lib/dpkg/status")
DPKG_MOST_BYTES = 32 << 20
INSTALLED = "install ok installed"

PACMAN = Path("var/lib/pacman/local")
PACMAN_ENTRY = re.compile(r"(.+)-(?:\d+:)?([0-9][^-]*)-[^-]+")

RPM = (Path("usr/lib/sysimage/rpm/rpmdb.sqlite"), Path("var/lib/rpm/rpmdb.sqlite"))
RPM_VERSION_TAG, RPM_STRING = 1001, 6  # rpmtag.h

LISTS = (DPKG, PACMAN, *RPM)


def linux_firmware(root: Path) -> str | None:
    """``"20260110-1"``, as the distribution writes it; None where no list has such a package."""
    return _dpkg(root / DPKG) or _pacman(root / PACMAN) or _rpm(root)


def _dpkg(path: Path) -> str | None:
    text = sysfs.read(path, most_bytes=DPKG_MOST_BYTES) or ""
    for name in NAMES:
        at = f"\n{text}".find(f"\nPackage: {name}\n")
        if at >= 0:
            entry = text[at:].partition("\n\n")[0]
            fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
            if fields.get("Status") == INSTALLED:
                return fields.get("Version")
    return None


def _pacman(folder: Path) -> str | None:
    entries = (PACMAN_ENTRY.fullmatch(name) for name in sysfs.entries(folder))
    versions = {entry[1]: entry[2] for entry in entries if entry}
    return next((versions[name] for name in NAMES if name in versions), None)


def _rpm(root: Path) -> str | None:
    for path in RPM:
        if sysfs.exists(root / path):
            # RPM's readers take no lock either; a torn read is a version that is not known
            with suppress(sqlite3.Error), closing(_opened(root / path)) as db:
                for name in NAMES:
                    rows = db.execute(
                        "SELECT blob FROM Packages JOIN Name USING (hnum) WHERE key = ?", (name,)
                    )
                    version = next((rpm_version(row[0]) for row in rows), None)
                    if version:
                        return version
    return None


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def rpm_version(header: object) -> str | None:
    """Of a header as RPM stores it: two counts, entries of tag, type, offset and count, then the data."""
    if not isinstance(header, bytes) or len(header) < 8:
        return None
    entries = int.from_bytes(header[:4], "big")
    data = 8 + 16 * entries
    for at in range(8, min(data, len(header) - 15), 16):
        tag, kind, offset = (
            int.from_bytes(header[at + 4 * word : at + 4 * word + 4], "big") for word in range(3)
        )
        if (tag, kind) == (RPM_VERSION_TAG, RPM_STRING):
            return header[data + offset :].split(b"\0", 1)[0].decode(errors="replace") or None
    return None
