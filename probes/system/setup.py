"""How this system is set up: firmware, kernel command line, module parameters, device nodes, OOM daemons.

Only the doctor's checks use this; no plan depends on it.
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
from probes.gpus.amd.apu import MemoryPools
from probes.memory import usage
from probes.memory.ram import parse_meminfo_counts
from probes.memory.usage import MemoryUse

# Modules with parameters for the memory of a GPU; amdttm is ttm in AMD's own build (DKMS)
MODULES = ("amdgpu", "ttm", "amdttm", "nvidia", "nvidia_uvm", "xe", "i915")
DEVICE_NODES = ("kfd", "nvidiactl", "nvidia-uvm")
NUMBERED_NODES = {
    "dri": re.compile(r"renderD[0-9]+"),
    "accel": re.compile(r"accel[0-9]+"),
    "": re.compile(r"nvidia[0-9]+"),
}

# Daemons that kill a process before memory runs out; the kernel's OOM killer comes too late for a GPU that
# shares the RAM. comm has 15 characters
OOM_GUARDS = ("earlyoom", "systemd-oomd", "nohang", "nohang-desktop", "oomd", "bustd")


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """``group`` is the id of its group, ``mode`` the nine permission bits; with an access control list
    (``has_acl``) others may open it, too. ``may_open`` applies to this process."""

    path: str
    group: int
    mode: int
    may_open: bool = True
    has_acl: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """``modules`` has the parameters of each loaded module of ``MODULES``. ``page_cache_bytes`` is RAM that
    holds cached files and is reclaimed on demand, ``free_bytes`` RAM that holds nothing, ``memory_uses`` what
    the rest is used for, the largest first. ``pools`` are
    amdgpu's counters, by the slot of the card. ``load`` is the load average of the last minute."""

    product: str | None = None
    bios_version: str | None = None
    bios_date: str | None = None
    command_line: str | None = None
    modules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nodes: tuple[DeviceNode, ...] = ()
    oom_guards: tuple[str, ...] = ()
    free_bytes: int | None = None
    page_cache_bytes: int | None = None
    pools: Mapping[str, MemoryPools] = field(default_factory=dict)
    load: float | None = None
    memory_uses: tuple[MemoryUse, ...] = ()


def probe(root: Path) -> System:
    dmi = root / "sys/class/dmi/id"
    counts = parse_meminfo_counts(sysfs.read(root / "proc/meminfo") or "")
    return System(
        product=sysfs.read(dmi / "product_name"),
        bios_version=sysfs.read(dmi / "bios_version"),
        bios_date=sysfs.read(dmi / "bios_date"),
        command_line=sysfs.read(root / "proc/cmdline"),
        modules={name: _parameters(root, name) for name in MODULES if _is_loaded(root, name)},
        nodes=device_nodes(root),
        oom_guards=_running_programs(root, OOM_GUARDS),
        free_bytes=counts.get("MemFree"),
        page_cache_bytes=counts.get("Cached"),
        pools=_pools(root),
        load=_load_average(sysfs.read(root / "proc/loadavg")),
        memory_uses=usage.uses(counts, usage.read_arc(root)),
    )


def device_nodes(root: Path) -> tuple[DeviceNode, ...]:
    """The device nodes that engines open. They are not opened here, because that would wake a GPU."""
    names = [name for name in DEVICE_NODES if sysfs.exists(root / "dev" / name)]
    for folder, pattern in NUMBERED_NODES.items():
        entries = sysfs.entries(root / "dev" / folder)
        names += [f"{folder}/{name}".lstrip("/") for name in entries if pattern.fullmatch(name)]
    return tuple(node for name in names if (node := _device_node(root, name)))


def _device_node(root: Path, name: str) -> DeviceNode | None:
    path = root / "dev" / name
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    may_open = os.access(path, os.R_OK | os.W_OK)
    return DeviceNode(f"/dev/{name}", status.st_gid, stat.S_IMODE(status.st_mode), may_open, _has_acl(path))


def _has_acl(path: Path) -> bool:
    """Logind adds one for the user who is logged in at the machine (udev's tag uaccess)."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def _is_loaded(root: Path, module: str) -> bool:
    return sysfs.exists(root / "sys/module" / module)


def _parameters(root: Path, module: str) -> dict[str, str]:
    folder = root / "sys/module" / module / "parameters"
    return {name: value for name in sysfs.entries(folder) if (value := sysfs.read(folder / name)) is not None}


def _running_programs(root: Path, programs: tuple[str, ...]) -> tuple[str, ...]:
    pids = (name for name in sysfs.entries(root / "proc") if name.isdigit())
    comms = {sysfs.read(root / "proc" / pid / "comm") for pid in pids}
    return tuple(program for program in programs if program[:15] in comms)


def _pools(root: Path) -> dict[str, MemoryPools]:
    cards = (device for device in pci.probe(root) if device.vendor == "1002" and device.driver == "amdgpu")
    return {card.slot: apu.read(root, card) for card in cards if not card.asleep}


def _load_average(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (IndexError, ValueError):
        return None
