"""Neural processors: shown so that an owner sees they are known, never counted as a GPU."""

from collections.abc import Sequence

from domain.hardware import Npu
from probes import pci
from probes.pci import PciDevice

# 1022:17f0 by revision: Linux drivers/accel/amdxdna; the older one is Phoenix and Hawk Point
XDNA2 = {"10": "Strix Point", "11": "Strix Halo", "20": "Krackan"}


def parse(devices: Sequence[PciDevice]) -> tuple[Npu, ...]:
    """From PCI facts alone: the driver's own files wake it."""
    return tuple(
        Npu(device.gpu_id, pci.VENDORS[device.vendor], name, device.driver)
        for device in devices
        if (name := _name(device))
    )


def _name(device: PciDevice) -> str | None:
    if device.pci_id == "1022:17f0":
        return f"XDNA 2 ({XDNA2.get(device.revision or '', 'Ryzen AI')})"
    if device.pci_id == "1022:1502":
        return "XDNA (Phoenix, Hawk Point)"
    if device.vendor == "8086" and device.driver == "intel_vpu":
        return f"Intel NPU {device.pci_id}"
    return None
