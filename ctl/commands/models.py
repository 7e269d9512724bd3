"""``node-ctl models``."""

from ctl.autostart import connect
from ctl.options import Json
from ctl.show.models import decode_rows, table_lines, total_line
from ctl.terminal import columns, print_json, print_styled

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl models
  node-ctl models --json
"""


def command(*, as_json: Json = False) -> None:
    """Complete weights with size, last use, and whether they are pinned, verified and in use."""
    data = connect().get("/v1/models")
    if as_json:
        print_json(data)
        return
    rows = decode_rows(data)
    if not rows:
        print("no weights on this disk: node-ctl pull MODEL downloads some")
        return
    for line, style in table_lines(rows, columns()):
        print_styled(line, style)
    print(total_line(rows))
