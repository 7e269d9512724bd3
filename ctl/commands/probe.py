"""``node-ctl probe``."""

from typing import Annotated

import typer

from ctl.autostart import daemon_or_start
from ctl.options import Json
from ctl.screen import print_json
from ctl.show.hardware import hardware_lines

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl probe
  node-ctl probe --refresh
  node-ctl probe --json > this-box.json    # a profile: plan --on this-box.json elsewhere
"""


def command(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read everything again.")] = False,
    as_json: Json = False,
) -> None:
    """CPU, memory, GPUs, temperatures, storage, engines, and what could not be read."""
    data = daemon_or_start().get(f"/v1/probe?refresh={str(refresh).lower()}")
    if as_json:
        print_json(data)
    else:
        print("\n".join(hardware_lines(data)))
