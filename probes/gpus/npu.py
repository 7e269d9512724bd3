"""Neural processors: listed so that the owner sees they were recognised, never counted as GPUs."""

from collections.abc import Sequence

from domain.machine.hardware import Npu
from domain.machine.provenance import Provenance
from probes import sysfs
from probes.gpus import pci
from probes.gpus.pci import PciDevice

# By PCI id and revision, else by the id: Linux drivers/accel/amdxdna
NAMES = {
    "1022:17f0": "XDNA 2 (Ryzen AI)",
    "1022:17f0 10": "XDNA 2 (Strix Point)",
    "1022:17f0 11": "XDNA 2 (Strix Halo)",
    "1022:17f0 20": "XDNA 2 (Krackan)",
    "1022:1502": "XDNA (Phoenix, Hawk Point)",
}

# Other accelerators, by their driver
DRIVERS = {
    "amdxdna": "XDNA",
    "intel_vpu": "Intel NPU",
    "qaic": "Qualcomm Cloud AI 100",
    "habanalabs": "Habana Gaudi",
}

SOURCES = {
    "name": Provenance("table", note="by PCI id and revision"),
    "driver": Provenance("sysfs"),
    "firmware": Provenance("sysfs", note="as the driver read it when it loaded"),
}


def probe(devices: Sequence[PciDevice]) -> tuple[Npu, ...]:
    """Wakes no device: amdxdna's ``fw_version`` is what the driver read when it loaded."""
    return tuple(
        Npu(
            device.gpu_id,
            pci.VENDORS[device.vendor],
            name,
            device.driver,
            sysfs.read(device.path / "fw_version") if device.driver == "amdxdna" else None,
        )
        for device in devices
        if (name := _name(device))
    )


def _name(device: PciDevice) -> str | None:
    name = NAMES.get(f"{device.pci_id} {device.revision}", NAMES.get(device.pci_id))
    if name:
        return name
    product = DRIVERS.get(device.driver or "")
    return f"{product} {device.pci_id}" if product else None
