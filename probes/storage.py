"""The file system that holds, or will hold, the weights: free space, type, and the kind of its disk."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domain.machine.hardware import Problem, Storage
from domain.machine.host import StorageKind
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs
from probes.memo import Memo
from probes.result import Reading

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "beegfs", "virtiofs"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph-fuse"}
)
MEMORY = frozenset({"tmpfs", "ramfs", "hugetlbfs"})
KIND_BY_NAME = (
    ("nvme", StorageKind.NVME),
    ("mmcblk", StorageKind.FLASH),
    ("vd", StorageKind.VIRTUAL),
    ("xvd", StorageKind.VIRTUAL),
)
VIRTUAL_MODELS = re.compile(r"QEMU|VMware|Virtual|VBOX|Msft|PersistentDisk", re.IGNORECASE)
ESCAPED = re.compile(r"\\([0-7]{3})")  # spaces in mountinfo: proc_pid_mountinfo(5)
MAX_LAYERS = 8  # of dm-crypt, LVM and RAID on top of each other

SOURCES = {
    "path": Provenance("settings", note="models_dir"),
    "free_bytes": Provenance("statvfs", note="for an ordinary user: without the blocks reserved for root"),
    "total_bytes": Provenance("statvfs"),
    "filesystem": Provenance("mountinfo"),
    "mounted_at": Provenance("mountinfo"),
    "device": Provenance("mountinfo"),
    "device_kind": Provenance("sysfs", Certainty.DERIVED, "name, model and queue/rotational of the disk"),
}


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of mountinfo. ``number`` is that of the device, ``8:1``; file systems without a disk have a
    number of their own."""

    number: str
    point: str
    filesystem: str
    source: str


def probe(root: Path, models_dir: Path, memo: Memo) -> Reading[Storage]:
    """Without the read rate, which takes time to measure: ``benchmarks.disk``."""
    try:
        nearest = nearest_existing(models_dir)
        stat, number = os.statvfs(nearest), nearest.stat().st_dev
    except (OSError, ValueError) as error:
        problem = Problem("storage", f"{models_dir}: {error}", "set models_dir to a folder on a local disk")
        return Reading(Storage(str(models_dir)), (problem,), SOURCES)
    table = sysfs.read(root / "proc/self/mountinfo") or ""
    mount = memo("mount", (str(nearest), number, table), lambda: mount_of(table, number, nearest))
    device, kind = memo("disk", mount, lambda: disk_of(root, mount)) if mount else (None, None)
    storage = Storage(
        path=str(models_dir),
        free_bytes=stat.f_bavail * stat.f_frsize,
        total_bytes=stat.f_blocks * stat.f_frsize,
        filesystem=mount.filesystem if mount else None,
        device=device,
        device_kind=kind,
        mounted_at=mount.point if mount else None,
    )
    return Reading(storage, provenance=SOURCES)


def nearest_existing(path: Path) -> Path:
    """The folder itself, or the first one above it that exists."""
    path = path.absolute()
    return next((parent for parent in (path, *path.parents) if os.access(parent, os.F_OK)), path)


def mount_of(mountinfo: str, number: int, folder: Path) -> MountPoint | None:
    """By the device number. stat(2) reports another one for btrfs and overlay: then by the longest path."""
    mounts = parse_mountinfo(mountinfo)
    same = [mount for mount in mounts if mount.number == f"{os.major(number)}:{os.minor(number)}"]
    above = [mount for mount in same or mounts if folder.is_relative_to(mount.point)]
    return max(above or same, key=lambda mount: len(mount.point), default=None)  # the first of equals


def parse_mountinfo(text: str) -> tuple[MountPoint, ...]:
    """The last line first: a later mount on the same point covers the earlier one."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        mount, filesystem = left.split(), right.split()
        if separator and len(mount) >= 5 and len(filesystem) >= 2:
            point, source = _unescape(mount[4]), _unescape(filesystem[1])
            mounts.append(MountPoint(mount[2], point, filesystem[0], source))
    return tuple(reversed(mounts))


def _unescape(text: str) -> str:
    return ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), text)


def disk_of(root: Path, mount: MountPoint) -> tuple[str | None, StorageKind | None]:
    """The disk below partitions, encryption, volumes and RAID, and its kind (of several, the slowest)."""
    if mount.filesystem in NETWORK:
        return mount.source, StorageKind.NETWORK
    if mount.filesystem in MEMORY:
        return mount.source, StorageKind.MEMORY
    names = sorted(set(_underlying_disks(root, root / "sys/dev/block" / mount.number, MAX_LAYERS)))
    if not names:  # btrfs and overlay: their number is not a block device's, but their source may be one
        names = sorted(
            set(_underlying_disks(root, root / "sys/class/block" / Path(mount.source).name, MAX_LAYERS))
        )
    return "+".join(names) or None, slowest(_device_kind(root / "sys/class/block" / name) for name in names)


def _underlying_disks(root: Path, folder: Path, layers: int) -> Iterable[str]:
    lower = sysfs.entries(folder / "slaves") if layers else []
    if lower:
        for name in lower:
            yield from _underlying_disks(root, root / "sys/class/block" / name, layers - 1)
        return
    name = sysfs.link_name(folder) or folder.name
    if not sysfs.exists(folder / "size"):
        return
    if sysfs.exists(folder / "partition"):  # its folder is in that of its disk
        name = Path(os.path.realpath(folder)).parent.name
    yield name


def _device_kind(folder: Path) -> StorageKind | None:
    for prefix, kind in KIND_BY_NAME:
        if folder.name.startswith(prefix):
            return kind
    if VIRTUAL_MODELS.search(sysfs.read(folder / "device/model") or ""):
        return StorageKind.VIRTUAL
    rotates = sysfs.read_int(folder / "queue/rotational")
    return None if rotates is None else StorageKind.HDD if rotates else StorageKind.SSD


def slowest(kinds: Iterable[StorageKind | None]) -> StorageKind | None:
    """The slowest kind of a RAID; unknown if any of them is."""
    known = list(kinds)
    order = [StorageKind.HDD, StorageKind.FLASH, StorageKind.VIRTUAL, StorageKind.SSD, StorageKind.NVME]
    return None if None in known else next((kind for kind in order if kind in known), None)
