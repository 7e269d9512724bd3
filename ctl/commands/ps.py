"""``node-ctl ps``."""

from ctl.autostart import connect
from ctl.client import peer_of
from ctl.options import Json
from ctl.show.daemons import as_row, told_others
from ctl.show.launches import build_table, decode_rows
from ctl.terminal import console, print_json, sanitize

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl ps
  node-ctl ps --json
"""


def command(*, as_json: Json = False) -> None:
    """Where another daemon runs, too, a line on standard error says whose launches these are."""
    daemon = connect()
    data = daemon.get("/v1/launches")
    peer = peer_of(daemon.socket)
    told_others(peer, "ps")
    if as_json:
        print_json([{**row, "daemon": peer and as_row(peer)} for row in data])
        return
    rows = decode_rows(data)
    if not rows:
        print("no launches: start one with node-ctl launch MODEL")
        return
    screen = console()
    screen.print(build_table(rows, screen))
    for row in rows:
        if row.last_error:
            print(sanitize(f"{row.name}: {row.last_error}"))
