"""``node-ctl logs``."""

from typing import Annotated

import typer

from ctl.autostart import daemon
from ctl.options import Json, Launch, launch_path
from ctl.terminal import harmless, note, print_json_line

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
    path = f"{launch_path(name)}/log?lines={lines}&follow={str(follow).lower()}"
    line = None
    for line in daemon().lines(path):
        if as_json:
            print_json_line({"launch": name, "line": line})
        else:
            print(harmless(line), flush=follow)
    if line is None and lines:
        note(
            f"the engine of {name} has not written anything: node-ctl ps tells how far it is, or what failed"
        )
