"""Lines with the provenance of each value of a machine."""

import re
from dataclasses import fields
from typing import Any

from ctl.show.formatting import decode
from domain.machine.hardware import Hardware
from domain.machine.provenance import Provenance

NAME = re.compile(r"(?P<part>\w{1,64})(?:\[(?P<key>.{0,256})\])?\.(?P<field>\w{1,64})")
PARTS = [field.name for field in fields(Hardware)]
MAX_WIDTH = 40
KEYS = ("id", "sensor")  # what identifies the entries of a list


def sources_lines(data: Any) -> list[str]:
    """``memory.total_bytes  25276342272  meminfo, read: MemTotal``. Values as in --json, truncated."""
    sources = decode(Hardware, data).sources
    names = sorted(sources, key=_part_index)
    rows = [(name, _text(_value(data, name)), _source(sources[name])) for name in names]
    name_width = max((len(name) for name, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    return [f"{name:<{name_width}}  {value:<{value_width}}  {source}" for name, value, source in rows]


def _part_index(name: str) -> int:
    """In the order of the parts of ``Hardware``; parts of a newer daemon come last."""
    part = re.match(r"\w*", name)
    return PARTS.index(part[0]) if part and part[0] in PARTS else len(PARTS)


def _source(provenance: Provenance) -> str:
    """``sysfs, derived: note``. "measured" is both source and certainty, and shown once."""
    words = dict.fromkeys((provenance.source, provenance.certainty.value))
    return ", ".join(words) + (f": {provenance.note}" if provenance.note else "")


def _value(data: Any, name: str) -> Any:
    """The value of a source's name; None if ``data`` has none."""
    match = NAME.fullmatch(name)
    part = data.get(match["part"]) if match else None
    if match and match["key"] is not None:
        part = next((item for item in part or [] if match["key"] in map(item.get, KEYS)), None)
    return part.get(match["field"]) if match and part else None


def _text(value: Any) -> str:
    """Of a list of objects its length."""
    if value is None:
        return "?"
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return f"{len(value)} of them"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        value = [str(item) for item in value.values() if item is not None]
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_WIDTH else f"{text[: MAX_WIDTH - 3]}..."
