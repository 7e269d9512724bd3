"""``node-ctl restart``."""

from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.launching.several import named
from ctl.launching.start import begin
from ctl.options import Json, Launches, NoWait
from domain.launches.launch import LaunchState

USAGE = "NAME... [OPTIONS]"
EXAMPLES = """
  node-ctl restart smollm2-135m
  node-ctl restart assistant coder
  node-ctl restart --all --no-wait
"""

STATES = frozenset(LaunchState) - {LaunchState.STOPPED, LaunchState.STOPPING}


def command(
    *,
    names: Launches = None,
    every: Annotated[bool, typer.Option("--all", help="All that are not stopped.")] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """It stays desired: where the new start fails, it is tried again. One that is not served is started. With
    several names, one that fails does not hold up the others.
    """
    daemon = connect()
    chosen = named(names, every=every, daemon=daemon, states=STATES)
    raise typer.Exit(begin(daemon, "restart", chosen, no_wait=no_wait, as_json=as_json))
