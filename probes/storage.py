"""The file system that holds, or will hold, the weights: room, type, and what kind of device it lies on."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domain.hardware import Problem, Storage
from domain.host import StorageKind
from domain.provenance import Certainty, Provenance
from probes import sysfs
from probes.memo import Memo
from probes.result import Reading

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "beegfs", "virtiofs"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph-fuse"}
)
MEMORY = frozenset({"tmpfs", "ramfs", "hugetlbfs"})
BY_NAME = (
    ("nvme", StorageKind.NVME),
    ("mmcblk", StorageKind.FLASH),
    ("vd", StorageKind.VIRTUAL),
    ("xvd", StorageKind.VIRTUAL),
)
VIRTUAL_MODELS = re.compile(r"QEMU|VMware|Virtual|VBOX|Msft|PersistentDisk", re.IGNORECASE)
ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks in mountinfo: proc_pid_mountinfo(5)
MOST_LAYERS = 8  # of dm-crypt, LVM and RAID above each other

TOLD = {
    "path": Provenance("settings", note="models_dir"),
    "free_bytes": Provenance("statvfs", note="for an ordinary user: without what is reserved for root"),
    "total_bytes": Provenance("statvfs"),
    "filesystem": Provenance("mountinfo"),
    "mounted_at": Provenance("mountinfo"),
    "device": Provenance("mountinfo"),
    "device_kind": Provenance("sysfs", Certainty.DERIVED, "name, model and queue/rotational of the disk"),
}


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo. ``number`` is ``8:1``; file systems without a disk have a made-up one."""

    number: str
    point: str
    filesystem: str
    source: str


def probe(root: Path, models_dir: Path, kept: Memo) -> Reading[Storage]:
    """Without the read rate, which takes its time: ``read_rate.measure``."""
    try:
        nearest = existing(models_dir)
        stat, number = os.statvfs(nearest), nearest.stat().st_dev
    except (OSError, ValueError) as error:
        problem = Problem("storage", f"{models_dir}: {error}", "set models_dir to a folder of a local disk")
        return Reading(Storage(str(models_dir)), (problem,), TOLD)
    table = sysfs.read(root / "proc/self/mountinfo") or ""
    mount = kept("mount", (str(nearest), number, table), lambda: mount_of(table, number, nearest))
    device, kind = kept("disk", mount, lambda: disk(root, mount)) if mount else (None, None)
    storage = Storage(
        path=str(models_dir),
        free_bytes=stat.f_bavail * stat.f_frsize,
        total_bytes=stat.f_blocks * stat.f_frsize,
        filesystem=mount.filesystem if mount else None,
        device=device,
        device_kind=kind,
        mounted_at=mount.point if mount else None,
    )
    return Reading(storage, told=TOLD)


def existing(path: Path) -> Path:
    """The folder itself or the first one above it that exists: it may not have been made yet."""
    path = path.absolute()
    return next((parent for parent in (path, *path.parents) if os.access(parent, os.F_OK)), path)


def mount_of(mountinfo: str, number: int, folder: Path) -> MountPoint | None:
    """By the device's number; btrfs and overlay show another one to stat(2): then by the longest path."""
    mounts = parse_mountinfo(mountinfo)
    same = [one for one in mounts if one.number == f"{os.major(number)}:{os.minor(number)}"]
    above = [one for one in same or mounts if folder.is_relative_to(one.point)]
    return max(above or same, key=lambda one: len(one.point), default=None)  # of equals the last covers


def parse_mountinfo(text: str) -> tuple[MountPoint, ...]:
    """The later of two mounts of one place comes first: it covers the other."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if dash and len(place) >= 5 and len(kind) >= 2:
            found.append(MountPoint(place[2], _unescaped(place[4]), kind[0], _unescaped(kind[1])))
    return tuple(reversed(found))


def _unescaped(text: str) -> str:
    return ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), text)


def disk(root: Path, mount: MountPoint) -> tuple[str | None, StorageKind | None]:
    """The disk below partitions, encryption, volumes and RAID, and its kind: the slowest of several."""
    if mount.filesystem in NETWORK:
        return mount.source, StorageKind.NETWORK
    if mount.filesystem in MEMORY:
        return mount.source, StorageKind.MEMORY
    names = sorted(set(_disks(root, root / "sys/dev/block" / mount.number, MOST_LAYERS)))
    if not names:  # btrfs, overlay: their number is no block device's, their source may be
        names = sorted(set(_disks(root, root / "sys/class/block" / Path(mount.source).name, MOST_LAYERS)))
    return "+".join(names) or None, slowest(_kind(root / "sys/class/block" / name) for name in names)


def _disks(root: Path, folder: Path, layers: int) -> Iterable[str]:
    below = sysfs.entries(folder / "slaves") if layers else []
    if below:
        for name in below:
            yield from _disks(root, root / "sys/class/block" / name, layers - 1)
        return
    name = sysfs.link_name(folder) or folder.name
    if not sysfs.exists(folder / "size"):
        return
    if sysfs.exists(folder / "partition"):  # lies in the folder of its disk
        name = Path(os.path.realpath(folder)).parent.name
    yield name


def _kind(folder: Path) -> StorageKind | None:
    for prefix, kind in BY_NAME:
        if folder.name.startswith(prefix):
            return kind
    if VIRTUAL_MODELS.search(sysfs.read(folder / "device/model") or ""):
        return StorageKind.VIRTUAL
    rotates = sysfs.read_int(folder / "queue/rotational")
    return None if rotates is None else StorageKind.HDD if rotates else StorageKind.SSD


def slowest(kinds: Iterable[StorageKind | None]) -> StorageKind | None:
    """Of a RAID, unknown where one is."""
    found = list(kinds)
    order = [StorageKind.HDD, StorageKind.FLASH, StorageKind.VIRTUAL, StorageKind.SSD, StorageKind.NVME]
    return None if None in found else next((kind for kind in order if kind in found), None)
