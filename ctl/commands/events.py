"""``node-ctl events``."""

import json
import sys
import textwrap
from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.encoding import is_unicode
from ctl.options import Json
from ctl.terminal import columns, sanitize

USAGE = "[OPTIONS]"
INDENT = " " * 8
EXAMPLES = """
  node-ctl events
  node-ctl events -n 20
  node-ctl events --follow --json
  node-ctl events --since 120
"""


def command(
    *,
    since: Annotated[
        int, typer.Option("--since", metavar="ID", min=0, help="Only events after this one.")
    ] = 0,
    last: Annotated[
        int | None, typer.Option("-n", "--tail", metavar="N", min=0, help="Only the last N of them.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more events.")] = False,
    as_json: Json = False,
) -> None:
    """Oldest first. With --json, one object per line: {"id", "at", "kind", "launch", "message", "level"};
    levels are info, warning and error.
    """
    query = f"since={since}&follow={str(follow).lower()}" + ("" if last is None else f"&last={last}")
    for line in connect().lines(f"/v1/events?{query}"):
        if as_json:
            print(line if is_unicode(sys.stdout) else json.dumps(json.loads(line)), flush=True)
        else:
            print(sanitize(_lines(json.loads(line))), flush=True)


def _lines(event: dict[str, str]) -> str:
    """One line; on a terminal, as many as it needs, indented below the first."""
    text = f"{event['id']:>6}  {event['at']}  {event['kind']:<16}  {_what(event)}"
    width = columns()
    return text if width is None else textwrap.fill(text, width, subsequent_indent=INDENT)


def _what(event: dict[str, str]) -> str:
    """The message, with the name of its launch before it if it does not have that itself."""
    name, message = event["launch"], event["message"]
    if not name or message.startswith((f"{name} ", f"{name}: ")) or f" of {name} " in message:
        return message
    return f"{name}: {message}"
