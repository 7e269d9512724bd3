"""``node-ctl models``."""

from ctl.autostart import daemon
from ctl.options import Json
from ctl.show.models import rows_of, table_of, total_line
from ctl.terminal import console, print_json

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl models
  node-ctl models --json
"""


def command(*, as_json: Json = False) -> None:
    """What is complete, with its size, when it was last used, whether it is pinned, verified and in use."""
    data = daemon().get("/v1/models")
    if as_json:
        print_json(data)
        return
    rows = rows_of(data)
    if not rows:
        print("no weights on this disk; node-ctl pull MODEL fetches some")
        return
    screen = console()
    screen.print(table_of(rows))
    screen.print(total_line(rows))
