"""Published speeds with their box as a profile and their exact flags."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from domain.machine.hardware import Hardware
from domain.serialization import from_json
from domain.units import GIB
from launchers.llama_cpp.parsing import parse
from tests.rigs import speed_rows
from tests.rigs.speed_rows import Row
from tests.rigs.speed_shapes import CAPTURES, rebuilt_shape


@cache
def rows() -> tuple[Row, ...]:
    """Of both captures."""
    capture = json.loads((CAPTURES / "bench-boxes.json").read_text())
    boxes = {name: from_json(Hardware, box) for name, box in capture["boxes"].items()}
    return (*speed_rows.rows(), *(_row(entry, boxes[entry["box"]]) for entry in capture["rows"]))


def _row(entry: Mapping[str, Any], hardware: Hardware) -> Row:
    size = int(entry["size_gib"] * GIB) if entry["size_gib"] else None
    speed = {entry["phase"]: entry["tokens_per_s"]}
    return Row(
        number=entry["id"],
        source=entry["source"],
        box=entry["box"],
        model=entry["model"],
        ram_assumed=False,
        shape=rebuilt_shape(entry["model"], entry["quant"].removeprefix("UD-"), size),
        flags=parse(entry["args"]),
        hardware=hardware,
        depth_tokens=entry["depth_tokens"],
        decode_tokens_per_s=speed.get("decode"),
        prefill_tokens_per_s=speed.get("prefill"),
    )
