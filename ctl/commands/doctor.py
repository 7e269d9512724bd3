"""``node-ctl doctor``."""

import typer

from ctl.autostart import daemon_or_start
from ctl.exits import FAILED
from ctl.options import Json
from ctl.screen import console, print_json

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl doctor
  node-ctl doctor --json
"""

STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def command(*, as_json: Json = False) -> None:
    """Exit status 1 if a check found an error, 0 with warnings alone."""
    checks = daemon_or_start().get("/v1/doctor")
    if as_json:
        print_json(checks)
    else:
        _draw(checks)
    if any(check["status"] == "error" for check in checks):
        raise typer.Exit(FAILED)


def _draw(checks: list[dict[str, str]]) -> None:
    from rich.text import Text  # noqa: PLC0415 - --json does without it

    screen = console()
    width = max((len(check["check"]) for check in checks), default=0)
    for check in checks:
        head = Text(f"{check['status']:<8}", STYLES.get(check["status"], ""))
        screen.print(head + Text(f" {check['check']:<{width}}  {check['found']}", style="default"))
        if check["status"] != "ok":
            for label in ("why", "fix"):
                if check.get(label):
                    screen.print(Text(f"{'':<9}{label}: {check[label]}"))
