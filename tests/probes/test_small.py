"""The small sources: stacks, storage, boot, files."""

import os
from pathlib import Path

import pytest

from probes import storage, sysfs
from probes.memo import Memo
from probes.runtimes import versions
from probes.system import boot_id as boot
from tests.rigs.trees import plant

HEADER = "#define ROCM_VERSION_MAJOR   7\n#define ROCM_VERSION_MINOR   1\n#define ROCM_VERSION_PATCH   1\n"


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        pytest.param({"opt/rocm/.info/version": "7.1.0-33\n"}, "7.1.0", id="packages of AMD"),
        pytest.param({"opt/rocm/core/.info/version": "7.14.0"}, "7.14.0", id="TheRock"),
        pytest.param({"opt/rocm/core-7.14.1/.info/version": "7.14.1"}, "7.14.1", id="TheRock, numbered"),
        pytest.param(
            {"opt/rocm-6.9.0/.info/version": "6.9.0", "opt/rocm-6.10.2/.info/version": "6.10.2"},
            "6.10.2",
            id="the newest of several",
        ),
        pytest.param({"usr/include/rocm-core/rocm_version.h": HEADER}, "7.1.1", id="a distribution's"),
        pytest.param(
            {"usr/include/rocm_version.h": "#define ROCM_VERSION_MAJOR 7"}, None, id="half a header"
        ),
        pytest.param({"opt/rocm/.info/version": "unknown"}, None, id="no number"),
        pytest.param({}, None, id="none: no default is invented"),
    ],
)
def test_rocm_in_all_its_places(tmp_path, tree, version):
    assert versions.rocm(plant(tmp_path, tree)) == version


def test_storage_of_a_folder_that_does_not_exist_yet(tmp_path):
    reading = storage.probe(Path("/"), tmp_path / "models" / "deep", Memo())
    disk, problems = reading.value, reading.problems
    stat = os.statvfs(tmp_path)
    assert disk.path == str(tmp_path / "models" / "deep")
    assert disk.total_bytes == stat.f_blocks * stat.f_frsize
    assert 0 < disk.free_bytes <= disk.total_bytes
    assert problems == ()


def test_boot_id(machine, tmp_path):
    assert boot.read_boot_id(machine("strix-halo-128")) == "5e7cf0a4-3c1b-4b3f-9c53-0f6f3c1e2a77"
    plant(tmp_path, {"proc/sys/kernel/random/boot_id": "no id"})
    assert boot.read_boot_id(tmp_path) is None


def test_a_pipe_in_place_of_a_file_does_not_hold_up_the_probe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert sysfs.read(tmp_path / "pipe") == ""


def test_a_file_without_an_end_is_read_for_one_mebibyte():
    assert len(sysfs.read(sysfs.Path("/dev/zero"))) == sysfs.MAX_BYTES


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4096\n", 4096), ("0x1586", 0x1586), ("-273150", -273150), ("0777", 777), ("", None), (None, None),
        ("max", None), ("[N/A]", None), ("1_000", None), ("12 kB", None), ("9" * 5000, None),
        ("0x" + "f" * 99, None),
    ],
)  # fmt: skip
def test_numbers(text, number):
    assert sysfs.parse_int(text) == number
