"""What the weights lie on, and how fast it is read."""

import os
from pathlib import Path

import pytest

from domain.machine.host import StorageKind
from domain.units import MIB
from probes import storage
from probes.benchmarks import disk as read_rate
from probes.memo import Memo
from probes.storage import MountPoint
from tests.rigs.trees import plant

MOUNTINFO = r"""21 1 8:2 / / rw - ext4 /dev/sda2 rw
22 21 0:40 / /mnt/my\040nas rw,relatime shared:1 - nfs4 nas:/my\040models rw
23 21 0:41 /@models /var/models rw - btrfs /dev/nvme0n1p3 rw
24 21 259:1 / /data rw - xfs /dev/nvme1n1p1 rw
25 21 253:0 / /crypt rw - ext4 /dev/mapper/home rw
26 21 0:42 / /dev/shm rw - tmpfs tmpfs rw
27 24 259:1 / /data rw - ext4 /dev/over rw
not a mount
"""


@pytest.mark.parametrize(
    ("number", "folder", "filesystem", "point"),
    [
        pytest.param((8, 2), "/home/o", "ext4", "/", id="the root"),
        pytest.param((0, 40), "/mnt/my nas/m", "nfs4", "/mnt/my nas", id="a blank in the name"),
        pytest.param((259, 1), "/data/m", "ext4", "/data", id="the later of two mounts covers the other"),
        pytest.param((0, 99), "/var/models/m", "btrfs", "/var/models", id="btrfs shows another number"),
    ],
)
def test_the_mount_of_a_folder(number, folder, filesystem, point):
    mount = storage.mount_of(MOUNTINFO, os.makedev(*number), Path(folder))
    assert (mount.filesystem, mount.point) == (filesystem, point)


def test_a_folder_that_no_mount_holds_is_unknown():
    assert storage.mount_of("", os.makedev(8, 2), Path("/x")) is None


DISKS = {
    "sys/devices/a/sda/size": "1", "sys/devices/a/sda/queue/rotational": "1",
    "sys/devices/a/sda/device/model": "WDC WD40EFRX", "sys/devices/a/sda/sda2/size": "1",
    "sys/devices/a/sda/sda2/partition": "2",
    "sys/devices/b/nvme0n1/size": "1", "sys/devices/b/nvme0n1/nvme0n1p3/size": "1",
    "sys/devices/b/nvme0n1/nvme0n1p3/partition": "3",
    "sys/devices/c/sdb/size": "1", "sys/devices/c/sdb/queue/rotational": "0",
    "sys/devices/c/sdb/device/model": "Samsung SSD 870",
    "sys/devices/d/sdc/size": "1", "sys/devices/d/sdc/queue/rotational": "1",
    "sys/devices/d/sdc/device/model": "QEMU HARDDISK",
    "sys/devices/v/dm-0/size": "1", "sys/devices/v/dm-0/slaves/nvme0n1p3": "",
    "sys/devices/v/dm-0/slaves/sda2": "",
}  # fmt: skip
LINKS = {
    "sys/class/block/sda": "../../devices/a/sda", "sys/class/block/sda2": "../../devices/a/sda/sda2",
    "sys/class/block/nvme0n1": "../../devices/b/nvme0n1",
    "sys/class/block/nvme0n1p3": "../../devices/b/nvme0n1/nvme0n1p3",
    "sys/class/block/sdb": "../../devices/c/sdb", "sys/class/block/sdc": "../../devices/d/sdc",
    "sys/class/block/dm-0": "../../devices/v/dm-0",
    "sys/dev/block/8:2": "../../devices/a/sda/sda2", "sys/dev/block/8:16": "../../devices/c/sdb",
    "sys/dev/block/8:32": "../../devices/d/sdc", "sys/dev/block/253:0": "../../devices/v/dm-0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("mount", "device", "kind"),
    [
        pytest.param(MountPoint("8:2", "/", "ext4", "/dev/sda2"), "sda", StorageKind.HDD, id="a partition"),
        pytest.param(MountPoint("8:16", "/", "ext4", "/dev/sdb"), "sdb", StorageKind.SSD, id="a whole SSD"),
        pytest.param(
            MountPoint("0:41", "/", "btrfs", "/dev/nvme0n1p3"), "nvme0n1", StorageKind.NVME, id="btrfs"
        ),
        pytest.param(
            MountPoint("253:0", "/", "ext4", "/dev/mapper/home"), "nvme0n1+sda", StorageKind.HDD,
            id="a volume over two disks is as slow as the slower",
        ),
        pytest.param(
            MountPoint("8:32", "/", "ext4", "/dev/sdc"), "sdc", StorageKind.VIRTUAL,
            id="a hypervisor's disk says that it rotates",
        ),
        pytest.param(MountPoint("0:40", "/m", "nfs4", "nas:/m"), "nas:/m", StorageKind.NETWORK, id="NFS"),
        pytest.param(MountPoint("0:42", "/m", "tmpfs", "tmpfs"), "tmpfs", StorageKind.MEMORY, id="tmpfs"),
        pytest.param(MountPoint("0:43", "/m", "fuse.x", "what"), None, None, id="nobody knows"),
    ],
)  # fmt: skip
def test_the_disk_below(tmp_path, mount, device, kind):
    assert storage.disk_of(plant(tmp_path, DISKS, LINKS), mount) == (device, kind)


def test_a_volume_that_is_below_itself_ends(tmp_path):
    plant(tmp_path, {"sys/class/block/dm-0/slaves/dm-0/x": "", "sys/class/block/dm-0/size": "1"})
    mount = MountPoint("0:1", "/", "ext4", "/dev/dm-0")
    assert storage.disk_of(tmp_path, mount) == ("dm-0", None)


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    with (folder / "m.gguf").open("wb") as file:
        for _ in range(8):
            file.write(os.urandom(8 * MIB))
        os.fsync(file.fileno())
    return folder


def test_weights_are_read_past_the_page_cache(weights, monkeypatch):
    monkeypatch.setattr(read_rate, "BUDGET_S", 60.0)  # a busy machine may let all of it pass by
    measured = read_rate.measure(Path("/"), weights)
    assert measured.of_weights
    assert 1e6 < measured.bytes_per_s < 1e12


def test_without_weights_a_file_is_written_for_it_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(read_rate, "BUDGET_S", 60.0)
    measured = read_rate.measure(Path("/"), tmp_path / "not" / "made" / "yet")
    assert not measured.of_weights
    assert measured.bytes_per_s > 1e6
    assert list(tmp_path.iterdir()) == []


def test_small_files_and_parts_of_downloads_are_no_weights(tmp_path):
    plant(tmp_path, {"a.gguf": b"x", "b.part": b"x" * (65 * MIB)})
    assert read_rate.largest_weights(tmp_path) is None


def test_a_file_of_holes_is_no_weights(tmp_path):
    with (tmp_path / "replica.gguf").open("wb") as file:
        file.truncate(128 * MIB)
    assert read_rate.largest_weights(tmp_path) is None


def test_files_in_memory_have_no_rate_of_a_disk():
    assert read_rate.measure(Path("/"), Path("/dev/shm/models")) is None


def test_a_folder_that_cannot_be_written_and_has_no_weights_is_unknown():
    assert read_rate.measure(Path("/"), Path("/proc/models")) is None


def test_this_machine_says_what_the_folder_lies_on(tmp_path):
    result = storage.probe(Path("/"), tmp_path, Memo()).value
    with Path("/proc/mounts").open() as mounts:
        assert (result.mounted_at, result.filesystem) in {tuple(line.split()[1:3]) for line in mounts}
