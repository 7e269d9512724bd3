"""The system calls a box is made of, for which Python 3.11 has no functions."""

import contextlib
import ctypes
import os
import platform
import struct
import time
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE, MS_STRICTATIME = 4096, 16384, 1 << 18, 1 << 24
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWCGROUP_UTS_IPC_NET = 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000
NAMESPACES_OF_A_BOX = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP_UTS_IPC_NET

SYS_MOUNT_SETATTR = 442  # the same number on every architecture
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[platform.machine()]

# Taken from PID 1 of the box, for with them a test could reach past its namespaces by accident: load modules,
# set the clock, port I/O, read the kernel log. systemd skips the units that would need them.
CAPABILITIES_DROPPED = (
    16,
    17,
    25,
    34,
    35,
    36,
)  # SYS_MODULE SYS_RAWIO SYS_TIME SYSLOG WAKE_ALARM BLOCK_SUSPEND


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path | str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    result = libc.mount(
        source.encode(),
        os.fsencode(target),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {fstype or 'bind'} {source} on {target}")


def make_mounts_private() -> None:
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def bind(source: Path | str, target: Path | str, *, read_only: bool = False) -> None:
    mount(str(source), target, "", MS_BIND | MS_REC)
    if read_only:  # mount_setattr(2) with AT_RECURSIVE: at and under target
        attributes = struct.pack("QQQQ", MS_RDONLY, 0, 0, 0)
        result = libc.syscall(
            ctypes.c_long(SYS_MOUNT_SETATTR),
            -100,
            os.fsencode(target),
            ctypes.c_uint(0x8000),
            attributes,
            ctypes.c_size_t(len(attributes)),
        )
        _check(result, f"mount_setattr {target}")


def unshare(flags: int) -> None:
    _check(libc.unshare(flags), "unshare")


def change_root(root: Path) -> None:
    os.chdir(root)
    _check(libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    _check(libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def drop_capabilities() -> None:
    for number in CAPABILITIES_DROPPED:
        libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)  # fails where it is gone already


def cgroup2() -> Path:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside cgroup v1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup2" and fields.split()[3] == "/":
            return Path(fields.split()[4])
    raise OSError("no cgroup2 mount found: mount -t cgroup2 none /sys/fs/cgroup/unified")


def own_cgroup() -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/"):
            return cgroup2() / line[4:]
    return cgroup2()


def remove_cgroup(path: Path) -> None:
    """Kill whatever is in it and below, then remove it."""
    for _ in range(200):
        if not path.is_dir():
            return
        (path / "cgroup.kill").write_text("1")
        for group, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):  # busy until the last process is reaped
                Path(group).rmdir()
        time.sleep(0.02)
    raise OSError(f"could not remove the cgroup {path}")
