"""Materialises the /sys and /proc of other machines below a root."""

import json
from collections.abc import Mapping
from pathlib import Path

NODES = {"dev/dri/renderD128": "", "dev/kfd": ""}
MACHINES = Path(__file__).parent.parent / "captures" / "machines"


def plant(root: Path, files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None) -> Path:
    """Writes ``files`` and symbolic ``links`` (path -> content or target) below ``root``; returns it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, target in (links or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return root


def plant_machine(root: Path, name: str) -> Path:
    """The recorded machine ``tests/captures/machines/NAME.json``, with the device nodes of a host."""
    recorded = json.loads((MACHINES / f"{name}.json").read_text())
    return plant(root, {**NODES, **recorded["files"]}, recorded["links"])
