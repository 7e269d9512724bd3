"""``node-ctl logs``."""

from typing import Annotated
from urllib.parse import quote

import typer

from ctl.autostart import daemon
from ctl.options import Json, Launch
from ctl.screen import harmless, print_json_line

USAGE = "NAME [OPTIONS]"
EXAMPLES = """
  node-ctl logs smollm2-135m
  node-ctl logs smollm2-135m -n 20 --follow
"""


def command(
    *,
    name: Launch,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="How many, at most.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    as_json: Json = False,
) -> None:
    """The last lines of the engine's log. With --json, one object a line: {"launch", "line"}."""
    path = f"/v1/launches/{quote(name, safe='')}/log?lines={lines}&follow={str(follow).lower()}"
    for line in daemon().lines(path):
        if as_json:
            print_json_line({"launch": name, "line": line})
        else:
            print(harmless(line), flush=follow)
