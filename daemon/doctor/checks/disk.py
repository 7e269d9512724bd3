"""Is there room for state and weights, and may they be written?"""

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import Disk, DoctorInput
from domain.units import gib

SLOW = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")
VOLATILE = ("tmpfs", "ramfs")


def check(facts: DoctorInput) -> tuple[Finding, ...]:
    return (*(finding for disk in facts.disks for finding in _disk(facts, disk)), *_filesystem(facts))


def _disk(facts: DoctorInput, disk: Disk) -> tuple[Finding, ...]:
    if disk.free_bytes is None:
        return not_known(f"how much is free for {disk.holds} at {disk.path}")
    if disk.writable is False:
        fix = f"give {disk.path} to the daemon's user, or set another folder; as a service: ReadWritePaths="
        return (error(f"{disk.path} may not be written", why=f"{disk.holds} can't be kept there", fix=fix),)
    found = f"{gib(disk.free_bytes)} of {gib(disk.total_bytes)} free for {disk.holds} at {disk.path}"
    if disk.free_bytes >= facts.disk_low_bytes:
        return (Finding(Verdict.OK, found),)
    return (
        warning(
            found,
            why="downloads are refused, and state may not be written",
            fix="remove models that are not used, or set models_dir to another disk",
        ),
    )


def _filesystem(facts: DoctorInput) -> tuple[Finding, ...]:
    storage = facts.hardware.storage
    kind = storage.filesystem if storage else None
    if storage is None or kind not in (*SLOW, *VOLATILE):
        return ()
    if kind in VOLATILE:
        why = "weights there take the RAM that models need, and are gone after a reboot"
    else:
        why = "a start waits for the network, and a model that is mapped from it stalls when the network does"
    return (warning(f"{storage.path} lies on {kind}", why=why, fix="set models_dir to a local disk"),)
