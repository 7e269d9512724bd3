"""Shows the findings of the doctor: problems first, each with its effect and its fix; ok last and short."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from ctl.terminal import console, is_terminal, sanitize

ORDER = ("error", "warning", "not_known", "ok")
STYLES = {"error": "bold red", "warning": "yellow", "not_known": "dim", "ok": "green"}
LABELS = {"not_known": "not known"}
COUNTED = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "not_known": ("not known", "not known"),
    "ok": ("ok", "ok"),
}
STATUS_WIDTH = max(len(LABELS.get(status, status)) for status in ORDER)
MIN_WIDTH = 30


def draw(findings: Sequence[dict[str, Any]], check: str | None, *, hub: bool = False) -> None:
    """``hub``: whether the hub was asked; all checks without it end with a line on how to ask it."""
    if not findings:
        print(f"{check or 'doctor'}: does not apply to this machine")
        return
    screen = console()
    check_width = max(len(finding["check"]) for finding in findings)
    indent = STATUS_WIDTH + check_width + 4
    width = max(MIN_WIDTH, screen.width - indent) if is_terminal() else None
    for finding in sorted(findings, key=_order):
        status = finding["status"]
        head = Text.assemble(
            (f"{LABELS.get(status, status):<{STATUS_WIDTH}}", STYLES.get(status, "")),
            f"  {finding['check']:<{check_width}}  ",
        )
        for text, style in _lines(finding, width):
            screen.print(head.append(text, style))
            head = Text(" " * indent)
    if check is None and not hub:
        screen.print(
            f"{'not asked':<{STATUS_WIDTH}}  {'hub':<{check_width}}  node-ctl doctor --hub checks it"
        )
    print(summary(findings))


def _order(finding: dict[str, Any]) -> int:
    """A status that only a newer daemon has comes first."""
    return ORDER.index(finding["status"]) if finding["status"] in ORDER else -1


def _lines(finding: dict[str, Any], width: int | None) -> Iterator[tuple[str, str]]:
    """Each line with its style."""
    yield from _wrap(finding["found"], "" if finding["status"] in ("error", "warning") else "dim", width)
    if finding["status"] == "ok":
        return
    for label, key in (("why", "why"), ("fix", "fix"), ("then", "recheck")):
        if finding.get(key) and (key != "recheck" or finding.get("fix")):
            yield from _wrap(f"{label}: {finding[key]}", "", width)


def _wrap(text: str, style: str, width: int | None) -> Iterator[tuple[str, str]]:
    text = sanitize(text)
    lines = [text] if width is None else textwrap.wrap(text, width, subsequent_indent="  ")
    return ((line, style) for line in lines)


def summary(findings: Sequence[dict[str, Any]]) -> str:
    """``"1 error, 2 warnings, 14 ok"``."""
    if all(finding["status"] == "ok" for finding in findings):
        return "no problems found"
    return ", ".join(
        f"{count} {labels[count > 1]}"
        for status, labels in COUNTED.items()
        if (count := sum(finding["status"] == status for finding in findings))
    )
