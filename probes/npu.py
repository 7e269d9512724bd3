"""Neural processors: shown so that an owner sees they are known, never counted as a GPU."""

from collections.abc import Sequence

from domain.hardware import Npu
from domain.told import Told
from probes import files, pci
from probes.pci import PciDevice

# 1022:17f0 by revision: Linux drivers/accel/amdxdna; the older one is Phoenix and Hawk Point
XDNA2 = {"10": "Strix Point", "11": "Strix Halo", "20": "Krackan"}

# Makers of accelerators by the driver that has them; the rest of /dev/accel and /dev/davinci is none of ours
DRIVERS = {"intel_vpu": "Intel NPU", "qaic": "Qualcomm Cloud AI 100", "habanalabs": "Habana Gaudi"}


TOLD = {
    "name": Told("table", note="by PCI id and revision"),
    "driver": Told("sysfs"),
    "firmware": Told("sysfs", note="what the driver read when it loaded"),
}


def parse(devices: Sequence[PciDevice]) -> tuple[Npu, ...]:
    """Whatever is read wakes none: amdxdna's ``fw_version`` is what the driver read when it loaded."""
    return tuple(
        Npu(
            device.gpu_id,
            pci.VENDORS[device.vendor],
            name,
            device.driver,
            files.read(device.path / "fw_version") if device.driver == "amdxdna" else None,
        )
        for device in devices
        if (name := _name(device))
    )


def _name(device: PciDevice) -> str | None:
    if device.pci_id == "1022:17f0":
        return f"XDNA 2 ({XDNA2.get(device.revision or '', 'Ryzen AI')})"
    if device.pci_id == "1022:1502":
        return "XDNA (Phoenix, Hawk Point)"
    named = DRIVERS.get(device.driver or "")
    return f"{named} {device.pci_id}" if named else None
