"""Where each value of a machine comes from, and how far it can be trusted: one line a value."""

import re
from dataclasses import fields
from typing import Any

from ctl.show.formatting import decode
from domain.hardware import Hardware
from domain.provenance import Provenance

NAME = re.compile(r"(?P<part>\w+)(?:\[(?P<key>.*)\])?\.(?P<field>\w+)")
PARTS = [field.name for field in fields(Hardware)]
WIDEST = 40
KEYS = ("id", "sensor")  # what tells the entries of a list apart


def sources_lines(data: Any) -> list[str]:
    """``memory.total_bytes  25276342272  meminfo, read: MemTotal``. Values as in --json, cut."""
    told = decode(Hardware, data).sources
    rows = [(name, _in_words(_value(data, name)), _source(told[name])) for name in sorted(told, key=_place)]
    names = max((len(name) for name, _, _ in rows), default=0)
    values = max((len(value) for _, value, _ in rows), default=0)
    return [f"{name:<{names}}  {value:<{values}}  {source}" for name, value, source in rows]


def _place(name: str) -> int:
    """As the parts of the answer are in order; those of a newer daemon come last."""
    part = re.match(r"\w*", name)
    return PARTS.index(part[0]) if part and part[0] in PARTS else len(PARTS)


def _source(told: Provenance) -> str:
    """``sysfs, derived: what of it``; what was measured is told once."""
    words = dict.fromkeys((told.source, told.certainty.value))
    return ", ".join(words) + (f": {told.note}" if told.note else "")


def _value(data: Any, name: str) -> Any:
    """The value that a source speaks of; None where the answer lacks it."""
    found = NAME.fullmatch(name)
    part = data.get(found["part"]) if found else None
    if found and found["key"] is not None:
        part = next((one for one in part or [] if found["key"] in map(one.get, KEYS)), None)
    return part.get(found["field"]) if found and part else None


def _in_words(value: Any) -> str:
    """A list of things with parts by its length."""
    if value is None:
        return "?"
    if isinstance(value, list) and not all(isinstance(one, str) for one in value):
        return f"{len(value)} of them"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        value = [str(one) for one in value.values() if one is not None]
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
