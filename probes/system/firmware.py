"""The version of the package with the GPU's firmware, from the databases of dpkg, pacman and RPM.

The firmware of AMD's GPUs has had bad releases (linux-firmware 20251125 on Strix Halo, according to
github.com/kyuz0/amd-strix-halo-toolboxes), and a GPU does not report which one it runs.
"""

import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from probes import sysfs

# Debian and Fedora have a package per vendor; AMD's is preferred
PACKAGES = ("firmware-amd-graphics", "amd-gpu-firmware", "linux-firmware-amdgpu", "linux-firmware")

DPKG = Path("var/lib/dpkg/status")
DPKG_MAX_BYTES = 32 << 20
INSTALLED = "install ok installed"

PACMAN = Path("var/lib/pacman/local")
PACMAN_ENTRY = re.compile(r"(.{1,128})-(?:\d{1,9}:)?([0-9][^-]{0,64})-[^-]{1,32}")

RPM = (Path("usr/lib/sysimage/rpm/rpmdb.sqlite"), Path("var/lib/rpm/rpmdb.sqlite"))
RPM_VERSION_TAG, RPM_STRING = 1001, 6  # rpmtag.h

PACKAGE_LISTS = (DPKG, PACMAN, *RPM)


def linux_firmware_version(root: Path) -> str | None:
    """``"20260110-1"``, as the distribution writes it; None if no such package is installed."""
    return _dpkg(root / DPKG) or _pacman(root / PACMAN) or _rpm(root)


def _dpkg(path: Path) -> str | None:
    text = sysfs.read(path, max_bytes=DPKG_MAX_BYTES) or ""
    for name in PACKAGES:
        start = f"\n{text}".find(f"\nPackage: {name}\n")
        if start >= 0:
            entry = text[start:].partition("\n\n")[0]
            fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
            if fields.get("Status") == INSTALLED:
                return fields.get("Version")
    return None


def _pacman(folder: Path) -> str | None:
    entries = (PACMAN_ENTRY.fullmatch(name) for name in sysfs.entries(folder))
    versions = {entry[1]: entry[2] for entry in entries if entry}
    return next((versions[name] for name in PACKAGES if name in versions), None)


def _rpm(root: Path) -> str | None:
    for path in RPM:
        if sysfs.exists(root / path):
            # RPM's own readers take no lock either; after a torn read the version is unknown
            with suppress(sqlite3.Error), closing(_open(root / path)) as db:
                for name in PACKAGES:
                    rows = db.execute(
                        "SELECT blob FROM Packages JOIN Name USING (hnum) WHERE key = ?", (name,)
                    )
                    version = next((parse_rpm_header(row[0]) for row in rows), None)
                    if version:
                        return version
    return None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def parse_rpm_header(header: object) -> str | None:
    """The version in a header as RPM stores it: two counts; entries of tag, type, offset and count; data."""
    if not isinstance(header, bytes) or len(header) < 8:
        return None
    entries = int.from_bytes(header[:4], "big")
    data_start = 8 + 16 * entries
    for start in range(8, min(data_start, len(header) - 15), 16):
        tag, kind, offset = (
            int.from_bytes(header[start + 4 * word : start + 4 * word + 4], "big") for word in range(3)
        )
        if (tag, kind) == (RPM_VERSION_TAG, RPM_STRING):
            return header[data_start + offset :].split(b"\0", 1)[0].decode(errors="replace") or None
    return None
