"""Wakes sleeping GPUs for one snapshot: a launch that is to use them has to know their memory."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from probes import sysfs
from probes.gpus.device_nodes import RENDER
from probes.gpus.pci import PciDevice


def wake(root: Path, devices: Sequence[PciDevice], opened: ExitStack) -> tuple[PciDevice, ...]:
    """``devices`` with their GPUs awake until ``opened`` is closed. What can't be woken stays asleep."""
    return tuple(
        replace(device, asleep=False)
        if device.asleep and device.is_gpu and _is_woken(root, device, opened)
        else device
        for device in devices
    )


def _is_woken(root: Path, device: PciDevice, opened: ExitStack) -> bool:
    """NVML wakes NVIDIA's cards when it is asked; opening a render node those of others: drm_open()."""
    if device.vendor == "10de":
        return True
    for name in sysfs.entries(device.path / "drm"):
        with suppress(OSError):
            if name.startswith(RENDER):
                flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
                opened.callback(os.close, os.open(root / "dev/dri" / name, flags))
                return True
    return False
