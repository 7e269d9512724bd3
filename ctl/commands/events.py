"""``node-ctl events``."""

import json
from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.options import Json
from ctl.terminal import sanitize

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl events
  node-ctl events --follow --json
  node-ctl events --since 120
"""


def command(
    *,
    since: Annotated[
        int, typer.Option("--since", metavar="ID", min=0, help="Only events after this one.")
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more events.")] = False,
    as_json: Json = False,
) -> None:
    """Oldest first. With --json, one object per line: {"id", "at", "kind", "launch", "message"}."""
    for line in connect().lines(f"/v1/events?since={since}&follow={str(follow).lower()}"):
        if as_json:
            print(line, flush=True)
            continue
        event = json.loads(line)
        subject = f"{event['launch']}: " if event["launch"] else ""
        print(
            sanitize(f"{event['id']:>6}  {event['at']}  {event['kind']:<12}  {subject}{event['message']}"),
            flush=True,
        )
