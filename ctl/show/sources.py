"""Where each value of a machine comes from, and how far it can be trusted: one line a value."""

import re
from typing import Any

from ctl.show.words import shape
from domain.hardware import Hardware

NAME = re.compile(r"(?P<part>\w+)(?:\[(?P<key>.*)\])?\.(?P<field>\w+)")
KEYS = ("id", "sensor")  # what tells the entries of a list apart


def sources_lines(data: Any) -> list[str]:
    """``memory.total_bytes  25276342272  meminfo, read: MemTotal``. Values are those of --json."""
    told = shape(Hardware, data).sources
    rows = [
        (name, _value(data, name), f"{one.source}, {one.certainty}" + (f": {one.note}" if one.note else ""))
        for name, one in told.items()
    ]
    names = max((len(name) for name, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows), default=0)
    return [f"{name:<{names}}  {value:<{values}}  {source}" for name, value, source in rows]


def _value(data: Any, name: str) -> str:
    """The value that a source speaks of; a list of values that have parts by its length."""
    found = NAME.fullmatch(name)
    part = data.get(found["part"]) if found else None
    if found and found["key"] is not None:
        part = next((one for one in part or [] if found["key"] in map(one.get, KEYS)), None)
    value = part.get(found["field"]) if found and part else None
    if isinstance(value, list):
        return " ".join(value) if all(isinstance(one, str) for one in value) else f"{len(value)} entries"
    return "?" if value is None else str(value)
