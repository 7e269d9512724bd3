"""Folders of safetensors with true headers, and holes in the place of the weights."""

import json
import struct
from pathlib import Path
from typing import Any


def safetensors(folder: Path, config: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    """A folder with the header of the weights, and a hole in their place."""
    widths = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4, "I32": 4}
    table, offset = {}, 0
    for name, (kind, shape) in tensors.items():
        count_bytes = widths[kind]
        for length in shape:
            count_bytes *= length
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + count_bytes]}
        offset += count_bytes
    text = json.dumps(table).encode()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return str(folder)


def fp8(name: str, rows: int, columns: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    scales = (-(-rows // 128), -(-columns // 128))
    return {f"{name}.weight": ("F8_E4M3", (rows, columns)), f"{name}.weight_scale_inv": ("F32", scales)}
