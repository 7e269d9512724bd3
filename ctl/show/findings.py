"""What the doctor found: problems first, each with why and what to type; then, in short, what is well."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ctl.terminal import console, is_terminal, sanitize

ORDER = ("error", "warning", "not_known", "ok")
LOOKS = {"error": "bold red", "warning": "yellow", "not_known": "dim", "ok": "green"}
CALLED = {"not_known": "not known"}
COUNTED = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "not_known": ("not known", "not known"),
    "ok": ("well", "well"),
}
STATUS_WIDTH = max(len(CALLED.get(status, status)) for status in ORDER)
NARROWEST = 30


def draw(found: Sequence[dict[str, Any]], check: str | None) -> None:
    if not found:
        print(f"{check or 'doctor'}: nothing to look at on this machine")
        return
    screen = console()
    width = max(len(one["check"]) for one in found)
    indent = STATUS_WIDTH + width + 4
    room = max(NARROWEST, screen.width - indent) if is_terminal() else None
    for one in sorted(found, key=_place):
        status = one["status"]
        head = Text.assemble(
            (f"{CALLED.get(status, status):<{STATUS_WIDTH}}", LOOKS.get(status, "")),
            f"  {one['check']:<{width}}  ",
        )
        for words, style in _lines(one, room):
            screen.print(head.append(words, style))
            head = Text(" " * indent)
    print(summary(found))


def _place(one: dict[str, Any]) -> int:
    """A status of a newer daemon comes first."""
    return ORDER.index(one["status"]) if one["status"] in ORDER else -1


def _lines(one: dict[str, Any], room: int | None) -> Iterator[tuple[str, str]]:
    """Each line with its style."""
    yield from _wrapped(one["found"], "" if one["status"] in ("error", "warning") else "dim", room)
    if one["status"] == "ok":
        return
    for label, key in (("why", "why"), ("fix", "fix"), ("then", "recheck")):
        if one.get(key) and (key != "recheck" or one.get("fix")):
            yield from _wrapped(f"{label}: {one[key]}", "", room)


def _wrapped(words: str, style: str, room: int | None) -> Iterator[tuple[str, str]]:
    words = sanitize(words)
    lines = [words] if room is None else textwrap.wrap(words, room, subsequent_indent="  ")
    return ((line, style) for line in lines)


def summary(found: Sequence[dict[str, Any]]) -> str:
    """``"1 error, 2 warnings, 14 well"``."""
    if all(one["status"] == "ok" for one in found):
        return "all is well"
    return ", ".join(
        f"{count} {words[count > 1]}"
        for status, words in COUNTED.items()
        if (count := sum(one["status"] == status for one in found))
    )
