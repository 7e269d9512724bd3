"""What a setting takes, in words for the message about a value that it does not take."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr

from config.settings import PREFIX, Settings
from domain.suggestions import near
from domain.units import gib

KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path in quotes",
    str: "text in quotes",
    SecretStr: "text in quotes",
}
SIZE = "a size such as 4 GB, 4 GiB or 500 MB"


def wrong_value(name: str, detail: Mapping[str, Any], *, is_variable: bool, masked: str) -> tuple[str, str]:
    """The message and the hint for a problem as pydantic reports it; ``masked`` stands for a secret."""
    key = f"{PREFIX}{name.upper()}" if is_variable else name
    shown = masked or json.dumps(detail["input"], ensure_ascii=False, default=str)
    words = f"expected {expected(name)}"
    if detail["type"] == "value_error" and not _is_size(name):  # of our own validators
        words = str(detail["ctx"]["error"])
    return f"{key} = {shown}: {words}", _hint(name, detail["input"])


def expected(name: str) -> str:
    """``a whole number from 1024 to 65535``."""
    kind = _kind(name)
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}"
    limits = _limits(name)
    if _is_size(name):
        return f"{SIZE}, at least {limits['ge']} bytes" if limits.get("ge") else SIZE
    if "le" in limits:
        return f"{KINDS[kind]} from {limits['ge']:g} to {limits['le']:g}"
    if "gt" in limits:
        return f"{KINDS[kind]} above {limits['gt']:g}"
    return f"{KINDS[kind]}, at least {limits['ge']:g}" if "ge" in limits else KINDS[kind]


def _hint(name: str, given: object) -> str:
    """What may have been meant, and what holds without it."""
    kind = _kind(name)
    found = near(given, get_args(kind)) if isinstance(given, str) and get_origin(kind) is Literal else ()
    meant = f"did you mean {found[0]}? " if found else ""
    setting = Settings.model_fields[name]
    default = None if setting.is_required() else setting.default
    if default is None:
        return f"{meant}leave it out for the default"
    if _is_size(name):
        return f"{meant}leave it out for the default, {gib(default)}"
    return f"{meant}leave it out for the default, {str(default).lower()}"


def _is_size(name: str) -> bool:
    return name.endswith("_bytes")


def _kind(name: str) -> Any:
    annotation = Settings.model_fields[name].annotation
    if get_origin(annotation) is Literal:
        return annotation
    kind = next((part for part in get_args(annotation) if part is not NoneType), annotation)
    return int if _is_size(name) else kind


def _limits(name: str) -> dict[str, float]:
    return {
        bound: getattr(limit, bound)
        for limit in Settings.model_fields[name].metadata
        for bound in ("ge", "gt", "le")
        if hasattr(limit, bound)
    }
