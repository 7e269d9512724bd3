"""``node-ctl ps``."""

from ctl.autostart import connect
from ctl.options import Json
from ctl.show.launches import build_table, decode_rows
from ctl.terminal import console, print_json, sanitize

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl ps
  node-ctl ps --json
"""


def command(*, as_json: Json = False) -> None:
    data = connect().get("/v1/launches")
    if as_json:
        print_json(data)
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
