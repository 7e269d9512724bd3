"""Machines of another kind for a child process, with devices that come and go: umockdev's testbed.

Only a process that is preloaded itself may send a uevent, and it no longer sees the real /sys. So the testbed
lives in a child (``side.py``), asked over pipes; the program under test is started with ``environment``.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
PRELOAD = "libumockdev-preload.so.0"

GPU = "/sys/devices/pci0000:00/0000:00:08.1/0000:c3:00.0"  # of strix-halo.umockdev
SECOND_GPU = "/sys/devices/pci0000:00/0000:00:03.1/0000:0d:00.0"
SECOND_GPU_FILES = {
    "vendor": "0x1002", "device": "0x744c", "revision": "0xc8", "class": "0x030000", "board_info": "x",
    "mem_info_vram_vendor": "samsung", "mem_info_vram_total": "25753026560", "mem_info_vram_used": "27783168",
}  # fmt: skip


class Testbed:
    """The machine of ``NAME.umockdev``, and what happens to it."""

    __test__ = False  # no test class

    def __init__(self, name: str) -> None:
        self._side = subprocess.Popen(
            [sys.executable, FOLDER / "side.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": PRELOAD},
        )
        self.root = Path(self._answer())
        self._ask("add_from_file", str(FOLDER / f"{name}.umockdev"))

    def add_gpu(self) -> None:
        """A Radeon RX 7900 XTX: the PCI device, its driver, its DRM node. Adding sends the events."""
        path = SECOND_GPU.removeprefix("/sys")
        attributes = "".join(f"A: {key}={value}\\n\n" for key, value in SECOND_GPU_FILES.items())
        self._ask(
            "add_from_string",
            f"P: {path}\nE: SUBSYSTEM=pci\nE: PCI_CLASS=30000\nE: DRIVER=amdgpu\n{attributes}"
            "L: driver=../../../../bus/pci/drivers/amdgpu\n\n"
            f"P: {path}/drm/card1\nN: dri/card1\nE: DEVNAME=/dev/dri/card1\nE: SUBSYSTEM=drm\n",
        )

    def attribute(self, device: str, name: str, value: str) -> None:
        self._ask("set_attribute", device, name, value)

    def property(self, device: str, name: str, value: str) -> None:
        self._ask("set_property", device, name, value)

    def uevent(self, device: str, action: str) -> None:
        self._ask("uevent", device, action)

    def remove(self, device: str) -> None:
        """Takes it away, with all that is below it, and tells so."""
        self.uevent(device, "remove")
        self._ask("remove_device", device)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        preload = ":".join(name for name in (PRELOAD, base.get("LD_PRELOAD", "")) if name)
        return {**base, "UMOCKDEV_DIR": str(self.root), "LD_PRELOAD": preload}

    def close(self) -> None:
        assert self._side.stdin
        assert self._side.stdout
        self._side.stdin.close()
        self._side.wait(10)
        self._side.stdout.close()

    def _ask(self, *question: str) -> None:
        assert self._side.stdin
        print(json.dumps(question), file=self._side.stdin, flush=True)
        self._answer()

    def _answer(self) -> str:
        assert self._side.stdout
        answer = json.loads(self._side.stdout.readline() or '{"error": "the child died"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return str(answer["ok"])
