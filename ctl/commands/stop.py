"""``node-ctl stop``."""

from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.options import Json, Launch, launch_path
from ctl.terminal import print_json

USAGE = "NAME [OPTIONS]"
EXAMPLES = """
  node-ctl stop smollm2-135m
  node-ctl stop smollm2-135m --forget
"""

# An engine on many GPUs takes a minute to end, and has a grace period before it is killed.
STOP_TIMEOUT_S = 300.0


def command(
    *,
    name: Launch,
    forget: Annotated[bool, typer.Option("--forget", help="Also remove it from the list.")] = False,
    as_json: Json = False,
) -> None:
    """It stays stopped after a reboot. Its weights are kept."""
    path = f"{launch_path(name)}/stop"
    row = connect().post(path, {"forget": forget}, timeout_s=STOP_TIMEOUT_S)
    if as_json:
        print_json(row)
    else:
        print(f"{name} is stopped and forgotten" if forget else f"{name} is stopped")
