"""GPUs and accelerators on the PCI bus, as sysfs lists them. Reading this wakes no device."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domain.machine.hardware import Problem, ProblemKind
from probes import sysfs

# Vendors of GPUs and NPUs; those of server and virtual machine graphics are left out
VENDORS = {
    "10de": "nvidia",
    "1002": "amd",
    "1022": "amd",
    "8086": "intel",
    "17cb": "qualcomm",
    "1da3": "habana",
}
DRIVERS = {"10de": ("nvidia",), "1002": ("amdgpu",), "8086": ("xe", "i915")}

SLOT = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
DISPLAY, ACCELERATOR = 0x03, 0x12
ACCELERATOR_GPUS = ("1002",)  # Instinct; Intel's of this class are NPUs
SIGNAL_PROCESSOR = 0x1180  # the class of AMD's NPUs


@dataclass(frozen=True, slots=True)
class PciDevice:
    """``slot`` is ``0000:c3:00.0``; ids are four lower-case hex digits. Reading the driver's files of a
    device that is ``asleep`` would wake it: only what the PCI core itself knows may be read."""

    slot: str
    vendor: str
    device: str
    class_code: int
    path: Path
    revision: str | None = None
    driver: str | None = None
    asleep: bool = False

    @property
    def pci_id(self) -> str:
        return f"{self.vendor}:{self.device}"

    @property
    def gpu_id(self) -> str:
        return f"pci:{self.slot}"

    @property
    def is_gpu(self) -> bool:
        base_class = self.class_code >> 16
        is_display = base_class == DISPLAY and self.vendor in DRIVERS
        return is_display or (base_class == ACCELERATOR and self.vendor in ACCELERATOR_GPUS)


def probe(root: Path) -> tuple[PciDevice, ...]:
    """Display controllers and accelerators of the vendors above, in bus order."""
    bus = root / "sys/bus/pci/devices"
    devices = (_device(bus / slot) for slot in sysfs.entries(bus))
    return tuple(device for device in devices if device)


def _device(path: Path) -> PciDevice | None:
    class_code = sysfs.read_int(path / "class")
    if class_code is None or not is_accelerator_class(class_code):
        return None
    vendor, device = _hex(path / "vendor"), _hex(path / "device")
    if vendor not in VENDORS or not device:
        return None
    return PciDevice(
        slot=path.name.lower(),
        vendor=vendor,
        device=device,
        class_code=class_code,
        path=path,
        revision=(_hex(path / "revision") or "").removeprefix("00") or None,
        driver=sysfs.link_name(path / "driver"),
        asleep=is_asleep(path),
    )


def drm_slots(devices: Iterable[PciDevice]) -> list[str]:
    """GPUs whose driver reports the memory of a process in /proc; NVIDIA's reports it through NVML."""
    reporting = ("amdgpu", "xe", "i915")
    return [
        device.slot
        for device in devices
        if device.is_gpu and device.driver in reporting and not device.asleep
    ]


def is_asleep(path: Path) -> bool:
    """Reading these two files wakes nothing. A device without them counts as awake."""
    if sysfs.read(path / "power/runtime_status") in ("suspended", "suspending"):
        return True
    return sysfs.read(path / "power_state") in ("D3hot", "D3cold")


def is_accelerator_class(class_code: int) -> bool:
    """Whether this is a class of GPUs, accelerators or NPUs."""
    return class_code >> 16 in (DISPLAY, ACCELERATOR) or class_code >> 8 == SIGNAL_PROCESSOR


def _hex(path: Path) -> str | None:
    number = sysfs.read_int(path)
    return f"{number:04x}" if number is not None and 0 <= number <= 0xFFFF else None


def unusable_gpus(devices: Iterable[PciDevice]) -> tuple[Problem, ...]:
    """A problem for each GPU that no engine can use, because it has the wrong driver or none."""
    wrong = (device for device in devices if device.is_gpu and device.driver not in DRIVERS[device.vendor])
    return tuple(_unusable_gpu(device) for device in wrong)


def _unusable_gpu(device: PciDevice) -> Problem:
    needed = " or ".join(DRIVERS[device.vendor])
    what = f"{VENDORS[device.vendor]} GPU {device.pci_id} at {device.slot} is present, unusable: "
    if device.driver is None:
        return Problem(
            "pci", f"{what}no driver is bound", f"install or load the {needed} driver", ProblemKind.DRIVER
        )
    if device.driver == "vfio-pci":
        hint = "it is reserved for a virtual machine; remove it from the vfio-pci ids to use it here"
        return Problem("pci", f"{what}it is bound to vfio-pci", hint)
    return Problem("pci", f"{what}its driver is {device.driver}", f"bind it to {needed}", ProblemKind.DRIVER)


def bar_bytes(device: PciDevice, number: int) -> int | None:
    """The size of a base address register. A line of ``resource`` is first address, last address, flags."""
    lines = (sysfs.read(device.path / "resource") or "").splitlines()
    words = lines[number].split()[:2] if len(lines) > number else []
    addresses = [sysfs.parse_int(word) for word in words]
    first, last = addresses if len(addresses) == 2 else (None, None)
    return last - first + 1 if first and last and last > first else None


def display_attached(device: PciDevice) -> bool | None:
    """Whether a monitor is connected, by the connectors of the device's DRM node; None without any."""
    drm = device.path / "drm"
    states = [
        sysfs.read(drm / card / connector / "status")
        for card in sysfs.entries(drm)
        for connector in sysfs.entries(drm / card)
        if connector.startswith(f"{card}-")
    ]
    return "connected" in states if any(states) else None
