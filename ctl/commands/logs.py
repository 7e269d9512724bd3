"""``node-ctl logs``."""

from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.options import Json, Launch, launch_path
from ctl.terminal import note, print_json_line, sanitize

USAGE = "NAME [OPTIONS]"
EXAMPLES = """
  node-ctl logs smollm2-135m
  node-ctl logs smollm2-135m -n 20 --follow
"""


def command(
    *,
    name: Launch,
    lines: Annotated[
        int, typer.Option("--lines", "-n", "--tail", metavar="N", min=0, help="Number of lines.")
    ] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more lines.")] = False,
    as_json: Json = False,
) -> None:
    """The last lines of the log. With --json, one object per line: {"launch", "line"}."""
    path = f"{launch_path(name)}/log?lines={lines}&follow={str(follow).lower()}"
    line = None
    for line in connect().lines(path):
        if as_json:
            print_json_line({"launch": name, "line": line})
        else:
            print(sanitize(line), flush=follow)
    if line is None and lines:
        note(f"the log of {name} is empty: node-ctl ps shows its state")
