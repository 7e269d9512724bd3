"""Is there space for state and weights, and are their folders writable?"""

from daemon.doctor.checks.finding import Finding, Verdict, error, not_known, warning
from daemon.doctor.checks.input import Disk, DoctorInput
from domain.units import gib

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p")
VOLATILE = ("tmpfs", "ramfs")
LOW = {
    "state": (
        "writing the state may fail: launches are refused, and what stops is not stored as stopped",
        "free some space on this disk, or set state_dir to another one",
    ),
    "models": (
        "downloads are refused, and writing the state may fail",
        "remove models that are not used, or set models_dir to another disk",
    ),
}


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    return (*(finding for disk in inputs.disks for finding in _disk(inputs, disk)), *_filesystem(inputs))


def _disk(inputs: DoctorInput, disk: Disk) -> tuple[Finding, ...]:
    if disk.free_bytes is None:
        return not_known(f"how much space is free for {disk.holds} at {disk.path}")
    if disk.writable is False:
        fix = (
            f"give {disk.path} to the daemon's user, or set another folder; "
            "for the service, add the folder to ReadWritePaths="
        )
        return (error(f"{disk.path} is not writable", why=f"{disk.holds} can't be stored there", fix=fix),)
    found = f"{gib(disk.free_bytes)} of {gib(disk.total_bytes)} free for {disk.holds} at {disk.path}"
    if disk.free_bytes >= inputs.disk_low_bytes:
        return (Finding(Verdict.OK, found),)
    why, fix = LOW["state" if disk.holds == "state" else "models"]
    return (warning(found, why=why, fix=fix),)


def _filesystem(inputs: DoctorInput) -> tuple[Finding, ...]:
    storage = inputs.hardware.storage
    kind = storage.filesystem if storage else None
    if storage is None or kind not in (*NETWORK, *VOLATILE):
        return ()
    if kind in VOLATILE:
        why = "weights there use RAM that models need, and are lost at a reboot"
    else:
        why = "loading waits for the network, and a memory-mapped model stalls when the network does"
    return (warning(f"{storage.path} is on {kind}", why=why, fix="set models_dir to a local disk"),)
