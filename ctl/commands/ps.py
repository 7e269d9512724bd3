"""``node-ctl ps``."""

from ctl.autostart import daemon
from ctl.options import Json
from ctl.show.launches import rows_of, table_of
from ctl.terminal import console, harmless, print_json

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl ps
  node-ctl ps --json
"""


def command(*, as_json: Json = False) -> None:
    data = daemon().get("/v1/launches")
    if as_json:
        print_json(data)
        return
    rows = rows_of(data)
    if not rows:
        print("nothing is launched: node-ctl launch MODEL")
        return
    screen = console()
    screen.print(table_of(rows, screen))
    for row in rows:
        if row.last_error:
            print(harmless(f"{row.name}: {row.last_error}"))
