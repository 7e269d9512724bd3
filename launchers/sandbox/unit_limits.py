"""Sets the limits of an engine's unit, as root, before its engine starts (ExecStartPre= of the unit).

The daemon's user may not set properties of units. Of what it answers here only this is taken: two sizes, and
one of four sets of devices. It comes through the socket of the unit: root would open any file that it named.
"""

import json
import socket
import subprocess
import sys

from launchers.sandbox.in_unit import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNIT = "node-daemon-engine@{}.service"
LONGEST_BYTES, LARGEST_BYTES = 4096, 1 << 62
ANSWER_S = 20.0
# Classes of /proc/devices, and nodes without a class of their own. NVIDIA's driver before 550 calls its class
# nvidia-frontend; /dev/dxg is WSL's, the nodes with nv are those of Jetson.
JETSON = "/dev/nvmap", "/dev/nvgpu", "/dev/nvhost-ctrl", "/dev/nvhost-ctrl-gpu", "/dev/nvhost-gpu"
NVIDIA = "char-nvidia*", "/dev/dxg", *JETSON
AMD = "char-kfd", "char-drm", "/dev/dxg"
OTHERS = "char-accel", "char-dma_heap", "/dev/udmabuf", "/dev/mali0"
DEVICES = {"none": (), "nvidia": NVIDIA, "amd": AMD, "every": (*NVIDIA, *AMD, *OTHERS)}


def main(name: str) -> None:
    """Where the daemon answers nothing, the limits of the unit's file stay."""
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(ANSWER_S)
        daemon.connect(f"{FOLDER}/{name}")
        answer = daemon.recv(LONGEST_BYTES)
    if not answer:
        return
    unit = UNIT.format(name)
    argv = ("systemctl", "--system", "set-property", "--runtime", "--", unit, *properties(json.loads(answer)))
    subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=ANSWER_S, check=True)


def properties(limits: "dict[str, Any]") -> list[str]:
    """Raises: KeyError, ValueError for what no daemon writes."""
    sizes = {"MemoryHigh": limits["memory_high_bytes"], "MemoryMax": limits["memory_max_bytes"]}
    for name, size_bytes in sizes.items():
        if type(size_bytes) is not int or not 0 < size_bytes < LARGEST_BYTES:
            raise ValueError(f"{name} can't be {size_bytes!r}")
    devices = dict.fromkeys(DEVICES[limits["devices"]])
    return [
        *(f"{name}={size_bytes}" for name, size_bytes in sizes.items()),
        "DevicePolicy=closed",
        "DeviceAllow=",  # not those of the last start
        *(f"DeviceAllow={device} rw" for device in devices),
    ]


if __name__ == "__main__":
    main(sys.argv[1])
