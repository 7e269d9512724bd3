"""The device nodes of a GPU below /dev: a container sees the card in /sys, and can use it only with these."""

from dataclasses import replace
from pathlib import Path

from domain.machine.hardware import Gpu, Problem, ProblemKind
from probes import sysfs
from probes.gpus.pci import PciDevice
from probes.result import FieldSources, VendorReading

RENDER = "renderD"
HINT = (
    "pass it into the container: --device /dev/dri --device /dev/kfd (Docker, Podman), "
    "pct set ID -dev0 /dev/dri/renderD128 (Proxmox), lxc.mount.entry and lxc.cgroup2.devices.allow (LXC); "
    "without a container, see why udev did not make it"
)


def missing(root: Path, card: PciDevice) -> str | None:
    """The render node of a card that is not there, or None. Nothing is opened, which would wake the card."""
    present = {name for name in sysfs.entries(root / "dev/dri") if name.startswith(RENDER)}
    own = [name for name in sysfs.entries(card.path / "drm") if name.startswith(RENDER)]
    if own:
        return next((f"/dev/dri/{name}" for name in own if name not in present), None)
    return None if present else f"/dev/dri/{RENDER}*"


def set_aside(source: str, gpu: Gpu, node: str, provenance: FieldSources) -> VendorReading:
    """``gpu``, whose ``node`` is missing, as one that no plan uses. ``source`` is the probe's name."""
    what = f"{gpu.name} ({gpu.id}) can't be used: its device node {node} is not there"
    return VendorReading(
        set_aside=(replace(gpu, set_aside=f"not usable here: its device node {node} is not there"),),
        problems=(Problem(source, what, HINT, ProblemKind.NO_NODE),),
        provenance={gpu.id: provenance},
    )
