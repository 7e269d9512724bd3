"""How this system is set up: firmware, kernel command line, module parameters, device nodes, guards.

What the checks of the doctor want to know and no plan does.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes import sysfs
from probes.gpus import pci
from probes.gpus.amd import apu
from probes.gpus.amd.apu import Pools
from probes.memory.ram import parse_counts

# Modules whose parameters decide what a GPU gets; amdttm is ttm of AMD's own build (DKMS)
MODULES = ("amdgpu", "ttm", "amdttm", "nvidia", "nvidia_uvm", "xe", "i915")
NODES = ("kfd", "nvidiactl", "nvidia-uvm")
NUMBERED = {
    "dri": re.compile(r"renderD[0-9]+"),
    "accel": re.compile(r"accel[0-9]+"),
    "": re.compile(r"nvidia[0-9]+"),
}

# Programs that end a process before the memory is all gone; the kernel's own comes too late for a GPU
# that shares the RAM. comm has 15 characters
OOM_GUARDS = ("earlyoom", "systemd-oomd", "nohang", "nohang-desktop", "oomd", "bustd")


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """``group`` is the number of the group it belongs to, ``mode`` the nine permission bits; with an access
    list (``has_acl``) they don't tell who else may open it. ``may_open`` is of this process."""

    path: str
    group: int
    mode: int
    may_open: bool = True
    has_acl: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """``modules`` has the parameters of each loaded module that is asked for. ``page_cache_bytes`` is RAM
    that holds files and is given back on demand; ``free_bytes`` what holds nothing at all. ``pools`` are
    amdgpu's counters, by the slot of the card. ``load`` is the runnable processes of the last minute."""

    product: str | None = None
    bios_version: str | None = None
    bios_date: str | None = None
    command_line: str | None = None
    modules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nodes: tuple[DeviceNode, ...] = ()
    oom_guards: tuple[str, ...] = ()
    free_bytes: int | None = None
    page_cache_bytes: int | None = None
    pools: Mapping[str, Pools] = field(default_factory=dict)
    load: float | None = None


def probe(root: Path) -> System:
    dmi = root / "sys/class/dmi/id"
    counts = parse_counts(sysfs.read(root / "proc/meminfo") or "")
    return System(
        product=sysfs.read(dmi / "product_name"),
        bios_version=sysfs.read(dmi / "bios_version"),
        bios_date=sysfs.read(dmi / "bios_date"),
        command_line=sysfs.read(root / "proc/cmdline"),
        modules={name: _parameters(root, name) for name in MODULES if _loaded(root, name)},
        nodes=nodes(root),
        oom_guards=_running(root, OOM_GUARDS),
        free_bytes=counts.get("MemFree"),
        page_cache_bytes=counts.get("Cached"),
        pools=_pools(root),
        load=_load(sysfs.read(root / "proc/loadavg")),
    )


def nodes(root: Path) -> tuple[DeviceNode, ...]:
    """The device files that engines open; they are looked at and not opened, for that wakes a GPU."""
    names = [name for name in NODES if sysfs.exists(root / "dev" / name)]
    for folder, pattern in NUMBERED.items():
        inside = sysfs.entries(root / "dev" / folder)
        names += [f"{folder}/{name}".lstrip("/") for name in inside if pattern.fullmatch(name)]
    return tuple(node for name in names if (node := _node(root, name)))


def _node(root: Path, name: str) -> DeviceNode | None:
    path = root / "dev" / name
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    may_open = os.access(path, os.R_OK | os.W_OK)
    return DeviceNode(f"/dev/{name}", seen.st_gid, stat.S_IMODE(seen.st_mode), may_open, _has_acl(path))


def _has_acl(path: Path) -> bool:
    """As logind gives the user at the screen one (udev's tag uaccess)."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def _loaded(root: Path, module: str) -> bool:
    return sysfs.exists(root / "sys/module" / module)


def _parameters(root: Path, module: str) -> dict[str, str]:
    folder = root / "sys/module" / module / "parameters"
    return {name: value for name in sysfs.entries(folder) if (value := sysfs.read(folder / name)) is not None}


def _running(root: Path, programs: tuple[str, ...]) -> tuple[str, ...]:
    pids = (name for name in sysfs.entries(root / "proc") if name.isdigit())
    comms = {sysfs.read(root / "proc" / pid / "comm") for pid in pids}
    return tuple(program for program in programs if program[:15] in comms)


def _pools(root: Path) -> dict[str, Pools]:
    cards = (one for one in pci.probe(root) if one.vendor == "1002" and one.driver == "amdgpu")
    return {card.slot: apu.read(root, card) for card in cards if not card.asleep}


def _load(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (IndexError, ValueError):
        return None
