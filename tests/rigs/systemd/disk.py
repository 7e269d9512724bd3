"""The disk of a box: this machine's root under an overlay, less what is enabled and logged on it."""

import os
import shutil
import stat
import uuid
from pathlib import Path

# Empty in the box; without this it would start this machine's own services and read its logs.
EMPTIED = (
    *("var/log/journal", "var/log/private", "var/lib/systemd", "var/lib/private", "var/lib/dbus"),
    *("var/cache/private", "var/tmp", "etc/systemd/system", "etc/systemd/user", "etc/systemd/network"),
    *("etc/init.d", "etc/tmpfiles.d", "etc/sysctl.d", "etc/rcS.d", *(f"etc/rc{n}.d" for n in range(7))),
)

# Masked: what would take the console (a getty hangs it up), or is for a machine with hardware and a network.
MASKED = (
    *("getty.target", "console-getty.service", "systemd-update-done.service", "systemd-sysctl.service"),
    *("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
    *("systemd-udev-trigger.service", "systemd-modules-load.service", "kmod-static-nodes.service"),
    *("systemd-timesyncd.service", "systemd-networkd.service", "systemd-resolved.service"),
    *("systemd-remount-fs.service", "dev-hugepages.mount", "systemd-tmpfiles-clean.timer"),
)

FILES = {
    "etc/hostname": "box\n",
    "etc/hosts": "127.0.0.1 localhost box\n::1 localhost\n",
    "etc/resolv.conf": "# no name servers in the box\n",
    "etc/fstab": "",
    # tmp.conf of Debian says "D /tmp": empty it at boot. Bind mounts may lie below /tmp here.
    "etc/tmpfiles.d/tmp.conf": "q /tmp 1777 root root -\nq /var/tmp 1777 root root -\n",
    "etc/systemd/journald.conf.d/box.conf": "[Journal]\nStorage=persistent\nReadKMsg=no\n",
    # Newer than /usr: units with ConditionNeedsUpdate= have nothing to do.
    "etc/.updated": "",
    "var/.updated": "",
}


def fill(upper: Path) -> None:
    """Write what makes this machine's root a box of its own into the upper side of the overlay."""
    for path in EMPTIED:
        (upper / path).mkdir(parents=True)
        os.setxattr(upper / path, "trusted.overlay.opaque", b"y")  # hides the lower directory
    for path in ("proc", "sys", "dev", "run", "tmp"):  # mounted over at each boot
        (upper / path).mkdir()
    (upper / "var/lib/private").chmod(0o700)
    (upper / "var/tmp").chmod(0o1777)
    os.mknod(upper / ".dockerenv", stat.S_IFCHR, 0)  # an overlay's "whiteout": not there
    units = upper / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    machine_id = uuid.uuid4().hex + "\n"  # without one systemd takes this for the first boot ever
    for path, text in (FILES | {"etc/machine-id": machine_id, "var/lib/dbus/machine-id": machine_id}).items():
        (upper / path).parent.mkdir(parents=True, exist_ok=True)
        (upper / path).write_text(text)


def copy(source: Path, upper: Path, target: str) -> None:
    full = upper / target.lstrip("/")
    full.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, full)
