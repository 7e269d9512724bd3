"""``node-ctl probe``."""

from typing import Annotated

import typer

from ctl.autostart import daemon_or_start
from ctl.options import Json
from ctl.screen import print_json
from ctl.show.hardware import hardware_lines
from ctl.show.sources import sources_lines

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl probe
  node-ctl probe --refresh
  node-ctl probe --sources                 # who told each value, and how sure it is
  node-ctl probe --json > this-box.json    # a profile: plan --on this-box.json elsewhere
"""


def command(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read everything again.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Each value with who told it and how sure that is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """CPU, memory, GPUs, temperatures, storage, engines, and what could not be read.

    The JSON always has the sources, by the full name of the value: {"memory.total_bytes": {"source",
    "certainty": "read|derived|measured|rated|assumed", "note"}}.
    """
    data = daemon_or_start().get(f"/v1/probe?refresh={str(refresh).lower()}")
    if as_json:
        print_json(data)
    else:
        print("\n".join(sources_lines(data) if sources else hardware_lines(data)))
