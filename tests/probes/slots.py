"""Cards in slots: the tree of /sys/devices that the PCI bus links to."""

from collections.abc import Mapping
from pathlib import Path

from probes.gpus import pci
from tests.rigs.trees import plant

CARD = "sys/bus/pci/devices/0000:01:00.0"


def bridge(widest: int, width: int, speed: str = "16.0") -> dict[str, str]:
    return {
        "max_link_speed": f"{speed} GT/s PCIe",
        "max_link_width": f"{widest}",
        "current_link_speed": "2.5 GT/s PCIe",
        "current_link_width": f"{width}",
    }


def behind(root: Path, port: Mapping[str, str], card: Mapping[str, str]) -> pci.PciDevice:
    """A card in a slot."""
    slot = "sys/devices/pci0000:00/0000:00:01.0"
    identity = {"class": "0x030000", "vendor": "0x10de", "device": "0x2204"}
    files = {f"{slot}/{name}": content for name, content in port.items()}
    files |= {f"{slot}/0000:01:00.0/{name}": content for name, content in {**identity, **card}.items()}
    plant(root, files, {CARD: "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0"})
    return pci.probe(root)[0]
