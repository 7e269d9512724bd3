"""LXC's views: with lxcfs, some files of /proc and /sys are those of the container, the rest the host's."""

from pathlib import Path

from probes import sysfs


def is_view(root: Path, path: str) -> bool:
    """Whether lxcfs is mounted at ``path``, ``/proc/meminfo``, or below it: proc_pid_mountinfo(5)."""
    lines = (sysfs.read(root / "proc/self/mountinfo") or "").splitlines()
    return any(f" {path}" in line and " fuse.lxcfs " in line for line in lines)
