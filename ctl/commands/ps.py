"""``node-ctl ps``."""

from typing import Annotated, Any

import typer

from ctl.autostart import as_row, connect, told_others
from ctl.client import peer_of
from ctl.options import Json, Launches, launch_path
from ctl.show.formatting import wrap
from ctl.show.launches import decode_rows, memory_lines, serving_text, table_lines
from ctl.terminal import columns, print_json, print_styled, sanitize
from domain.errors import UsageError

USAGE = "[NAME...] [OPTIONS]"
EXAMPLES = """
  node-ctl ps
  node-ctl ps assistant
  node-ctl ps --memory
  node-ctl ps --json
"""


def command(
    *,
    names: Launches = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Where the memory of each GPU and the RAM is, and what is left.")
    ] = False,
    as_json: Json = False,
) -> None:
    """All, or those that are named. ENDPOINT is the base URL that a client of OpenAI's API needs, the same
    for all: NAME says which model. A narrow terminal has fewer columns. Where another daemon runs, too, a
    line on standard error says whose launches these are.
    """
    daemon = connect()
    peer = peer_of(daemon.socket)
    told_others(peer, "ps")
    if memory:
        if names:
            raise UsageError("--memory is of whole devices", hint="leave the names out")
        _show_memory(daemon.get("/v1/memory"), as_json=as_json)
        return
    if names:
        data = [daemon.get(launch_path(name))["launch"] for name in dict.fromkeys(names)]
    else:
        data = daemon.get("/v1/launches")
    if as_json:
        print_json([{**row, "daemon": peer and as_row(peer)} for row in data])
        return
    rows = decode_rows(data)
    if not rows:
        print("no launches: start one with node-ctl launch MODEL")
        return
    for line, style in table_lines(rows, columns()):
        print_styled(line, style)
    waiting = [f"{row.name}: waits for {row.waiting}" for row in rows if row.waiting]
    waiting += [f"{row.name}: reduced, {row.reduced}" for row in rows if row.reduced]
    waiting += [f"{row.name}: {text}" for row in rows if (text := serving_text(row))]
    errors = [f"{row.name}: {row.last_error}" for row in rows if row.last_error]
    for line in wrap([*waiting, *errors], columns(), indent=2):
        print(sanitize(line))


def _show_memory(data: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(data)
        return
    for line in memory_lines(data):
        print(sanitize(line))
