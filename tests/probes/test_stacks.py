"""Versions from files: toolkit, ROCm's other places, kernel, drivers, the package of the firmware."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from probes.gpus import pci
from probes.memo import Memo
from probes.runtimes import versions
from probes.system import firmware
from tests.rigs.trees import plant

RPM_HEADER = Path(__file__).parent.parent / "captures/packages/amd-gpu-firmware.rpm-header"
TOOLKIT = '{"cuda": {"name": "CUDA SDK", "version": "13.0.20250819"}, "nvidia_driver": {"version": "580"}}'


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        pytest.param({"usr/local/cuda/version.json": TOOLKIT}, "13.0", id="NVIDIA's packages"),
        pytest.param({"usr/local/cuda-12.9/version.json": TOOLKIT}, "13.0", id="a link that leads away"),
        pytest.param(
            {
                "usr/local/cuda-12.9/version.json": "{}",
                "usr/local/cuda-9.0/version.txt": "CUDA Version 9.0.176",
            },
            "9.0",
            id="an old one's text",
        ),
        pytest.param({"usr/lib/cuda/version.txt": "CUDA Version 11.8.0"}, "11.8", id="Debian's"),
        pytest.param({"usr/local/cuda/version.json": '{"cuda": "new"}'}, None, id="nonsense"),
        pytest.param({}, None, id="none: prebuilt engines need none"),
    ],
)
def test_the_toolkit_of_cuda(tmp_path, tree, version):
    assert versions.cuda_toolkit(plant(tmp_path, tree)) == version


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("usr/lib/x86_64-linux-gnu/libamdhip64.so.5.2.21153-0", "5.2"),
        ("usr/lib64/libamdhip64.so.6.3.60303", "6.3"),
        ("usr/lib64/libamdhip64.so.6", None),
        ("opt/engines/lib/python3.12/site-packages/rocm_sdk_core-7.10.0.dist-info/METADATA", "7.10.0"),
        ("usr/local/lib/python3.11/dist-packages/rocm_sdk_core-7.9.0rc1.dist-info/METADATA", "7.9.0"),
    ],
)
def test_rocm_of_a_distribution_and_of_pip(tmp_path, name, version):
    assert versions.rocm(plant(tmp_path, {name: ""})) == version


def test_kernel_and_drivers(machine, see):
    hardware = see(machine("strix-halo-128")).stacks
    assert (hardware.amdgpu_dkms, hardware.cuda_toolkit, hardware.nvidia_module) == ("6.16.6", None, None)
    card = see(plant(machine("rx-7900-xtx"), {}))
    assert (card.stacks.kernel, card.sources["stacks.kernel"].source) == ("6.18.9", "proc")


STATUS = """Package: firmware-misc-nonfree
Status: install ok installed
Version: 1

Package: linux-firmware
Status: deinstall ok config-files
Version: 2

Package: firmware-amd-graphics
Status: install ok installed
Architecture: all
Version: 20250410-2

"""


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        pytest.param({"var/lib/dpkg/status": STATUS}, "20250410-2", id="Debian"),
        pytest.param(
            {"var/lib/dpkg/status": STATUS.replace("deinstall ok config-files", "install ok installed")
             .replace("Package: firmware-amd-graphics", "Package: other")},
            "2", id="Ubuntu",
        ),
        pytest.param({"var/lib/pacman/local/linux-firmware-20260110-1/desc": ""}, "20260110", id="Arch"),
        pytest.param(
            {"var/lib/pacman/local/linux-firmware-amdgpu-1:20251125-2/desc": "",
             "var/lib/pacman/local/linux-firmware-20251125-2/desc": ""}, "20251125", id="Arch, split",
        ),
        pytest.param({"usr/lib/sysimage/rpm/rpmdb.sqlite": "no database"}, None, id="a broken list"),
        pytest.param({}, None, id="none"),
    ],
)  # fmt: skip
def test_the_package_of_the_firmware(tmp_path, tree, version):
    assert firmware.linux_firmware_version(plant(tmp_path, tree)) == version


def test_fedora_s_package_of_the_firmware(tmp_path):
    """RPM's own database, with a header that RPM 4.18 wrote."""
    path = tmp_path / "usr/lib/sysimage/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        db.execute("CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
        db.execute("INSERT INTO Packages VALUES (7, ?)", (RPM_HEADER.read_bytes(),))
        db.execute("INSERT INTO Name VALUES ('amd-gpu-firmware', 7, 0)")
    assert firmware.linux_firmware_version(tmp_path) == "20260110"


def test_a_torn_header_is_no_version():
    whole = RPM_HEADER.read_bytes()
    assert firmware.parse_rpm_header(whole) == "20260110"
    for cut in range(0, len(whole), 37):
        firmware.parse_rpm_header(whole[:cut])
    assert firmware.parse_rpm_header(b"\xff" * 64) is None


def test_packages_are_looked_up_where_a_driver_loads_firmware_and_once(machine, see, opened):
    root = plant(machine("strix-halo-128"), {"var/lib/dpkg/status": STATUS})
    assert see(root).stacks.linux_firmware == "20250410-2"
    devices, memo = pci.probe(root), Memo()
    versions.probe(root, devices, memo)
    opened.clear()
    assert versions.probe(root, devices, memo).value.linux_firmware == "20250410-2"
    assert [path for path in opened if "dpkg" in path] == []
    assert versions.probe(root, (), Memo()).value.linux_firmware is None
