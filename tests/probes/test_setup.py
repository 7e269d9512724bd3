"""How a system is set up: modules, device files, units, the clock, accounts, and what is private."""

import os
import pwd
from pathlib import Path

import pytest

from probes import identifiers
from probes.system import accounts, clock, setup, systemd
from tests.rigs.trees import plant

# systemctl show of systemd 252 (Debian 12), of a unit with two DeviceAllow= and PrivateDevices=no
SHOWN = """LoadState=loaded
ActiveState=failed
SubState=failed
Result=signal
NRestarts=3
MainPID=0
User=node-daemon
LimitMEMLOCK=8388608
PrivateDevices=no
DevicePolicy=auto
DeviceAllow=char-kfd rw
DeviceAllow=char-drm rw
"""


def test_a_unit_is_read_as_systemd_tells_it() -> None:
    unit = systemd.parse_unit("node-daemon.service", SHOWN)
    assert unit is not None
    assert (unit.active, unit.result, unit.restarts, unit.main_pid) == ("failed", "signal", 3, None)
    assert (unit.memlock_bytes, unit.memlock_unlimited) == (8388608, False)
    assert unit.device_allow == ("char-kfd rw", "char-drm rw")


def test_no_limit_is_no_number() -> None:
    unit = systemd.parse_unit(
        "a.service", SHOWN.replace("8388608", "infinity").replace("NRestarts=3", "NRestarts=")
    )
    assert unit is not None
    assert (unit.memlock_bytes, unit.memlock_unlimited, unit.restarts) == (None, True, None)


@pytest.mark.parametrize("text", ["", "LoadState=not-found\nActiveState=inactive\n", "no systemd here"])
def test_a_unit_that_is_not_installed_is_none(text: str) -> None:
    assert systemd.parse_unit("a.service", text) is None


def test_without_systemctl_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert systemd.read_unit("node-daemon.service") is None


def test_a_systemctl_that_can_not_ask_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container without a manager: it prints why and exits 1."""
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho LoadState=loaded\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert systemd.read_unit("node-daemon.service") is None


def test_the_setup_of_a_system(tmp_path: Path) -> None:
    system = setup.probe(
        plant(
            tmp_path,
            {
                "sys/class/dmi/id/product_name": "GTR9 Pro\n",
                "sys/class/dmi/id/bios_date": "10/16/2025\n",
                "proc/cmdline": "quiet ttm.pages_limit=32768000\n",
                "proc/loadavg": "0.42 0.30 0.10 1/900 4242\n",
                "proc/meminfo": "MemTotal: 100 kB\nMemFree: 20 kB\nCached: 50 kB\n",
                "proc/77/comm": "earlyoom\n",
                "proc/78/comm": "systemd-oomd\n",
                "sys/module/ttm/parameters/pages_limit": "32768000\n",
                "sys/module/nouveau/parameters/debug": "1\n",
                "dev/kfd": "",
                "dev/dri/renderD128": "",
                "dev/dri/card1": "",
                "dev/nvidia0": "",
                "dev/nvidia-uvm": "",
                "dev/nvidia-modeset": "",
                "dev/hidraw0": "",
                "dev/accel/accel0": "",
            },
        )
    )
    assert (system.product, system.bios_date, system.load) == ("GTR9 Pro", "10/16/2025", 0.42)
    assert system.command_line == "quiet ttm.pages_limit=32768000"
    assert (system.free_bytes, system.page_cache_bytes) == (20 * 1024, 50 * 1024)
    assert system.oom_guards == ("earlyoom", "systemd-oomd")
    assert system.modules == {"ttm": {"pages_limit": "32768000"}}
    assert [node.path for node in system.nodes] == [
        "/dev/kfd",
        "/dev/nvidia-uvm",
        "/dev/dri/renderD128",
        "/dev/accel/accel0",
        "/dev/nvidia0",
    ]
    assert all(node.may_open and not node.has_acl for node in system.nodes)


def test_a_system_that_tells_nothing_is_not_known(tmp_path: Path) -> None:
    assert setup.probe(tmp_path) == setup.System()


def test_device_files_are_looked_at_and_not_opened(tmp_path: Path, opened: list[str]) -> None:
    plant(tmp_path, {"dev/kfd": "", "dev/dri/renderD128": ""})
    opened.clear()
    assert len(setup.device_nodes(tmp_path)) == 2
    assert [path for path in opened if path.endswith(("kfd", "renderD128"))] == []


def test_the_clock_is_asked_of_the_kernel() -> None:
    assert clock.is_synchronised() in (True, False)


def test_an_account_has_the_groups_that_are_written_down() -> None:
    own = accounts.by_uid(os.getuid())
    assert own is not None
    assert own.name == pwd.getpwuid(os.getuid()).pw_name
    assert os.getgid() in own.groups
    assert accounts.by_name(own.name) == own
    assert accounts.by_name("nobody-of-this-name") is None
    assert accounts.group_names()[0] == "root"


def test_identifiers_are_read_from_files(tmp_path: Path) -> None:
    own = identifiers.read_identifiers(
        plant(
            tmp_path,
            {
                "etc/hostname": "attic.lan\n",
                "etc/machine-id": "4f1c2b7a9d3e4f5a8b6c7d8e9f0a1b2c\n",
                "sys/class/dmi/id/product_serial": "PF4XK2LM\n",
                "sys/class/dmi/id/board_serial": "Default string\n",
                "sys/class/dmi/id/chassis_serial": "0000\n",
                "sys/class/net/enp1s0/address": "9c:6b:00:12:34:56\n",
                "sys/class/net/lo/address": "00:00:00:00:00:00\n",
                "sys/block/nvme0n1/device/serial": "S6Z1NJ0W123456\n",
                "sys/class/drm/card1/device/unique_id": "a1b2c3d4e5f60718\n",
            },
        )
    )
    assert {"attic.lan", "attic"} <= set(own.hosts)
    assert set(own.numbers) == {
        "4f1c2b7a9d3e4f5a8b6c7d8e9f0a1b2c",
        "PF4XK2LM",
        "9c:6b:00:12:34:56",
        "S6Z1NJ0W123456",
        "a1b2c3d4e5f60718",
    }
