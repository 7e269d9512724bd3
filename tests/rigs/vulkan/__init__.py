"""Software Vulkan devices with the name, kind, memory and place of chosen GPUs, seen by child processes."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
LAYER = "VK_LAYER_RIG_fake"


def lavapipe() -> Path:
    """What Debian's mesa-vulkan-drivers installs to announce its driver for processors."""
    return next(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))


def build(into: Path) -> Path:
    """Compiles the layer into a folder and announces it there."""
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", into / "liblayer.so", FOLDER / "layer.c"], check=True)
    layer = {
        "name": LAYER,
        "type": "GLOBAL",
        "library_path": "./liblayer.so",
        "api_version": "1.3.230",
        "implementation_version": "1",
        "description": "a software device with a GPU's name, kind, memory and place",
    }
    (into / "layer.json").write_text(json.dumps({"file_format_version": "1.2.0", "layer": layer}))
    return into


def environment(layer: Path, folder: Path, devices: Sequence[str]) -> dict[str, str]:
    """One driver file a device: the loader shows the driver's only device once for each of them."""
    announced = [folder / f"device{number}.json" for number in range(len(devices))]
    for path in announced:
        path.write_text(lavapipe().read_text())
    return {
        "VK_ADD_LAYER_PATH": str(layer),
        "VK_INSTANCE_LAYERS": LAYER,
        "VK_DRIVER_FILES": ":".join(map(str, announced)),
        "VKFAKE": ";".join(devices),
    }
