"""``node-ctl start``."""

from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.launching.several import named
from ctl.launching.start import begin
from ctl.options import Json, Launches, NoWait
from domain.launches.launch import LaunchState

USAGE = "NAME... [OPTIONS]"
EXAMPLES = """
  node-ctl start smollm2-135m
  node-ctl start assistant coder --no-wait
  node-ctl start --all
"""

STATES = frozenset({LaunchState.STOPPED, LaunchState.FAILED})


def command(
    *,
    names: Launches = None,
    every: Annotated[bool, typer.Option("--all", help="All that are stopped or failed.")] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Model, options and name are as before, and the plan, too, where machine and engine are. One that fails
    stays as it was. With several names, one that fails does not hold up the others.
    """
    daemon = connect_or_start()
    chosen = named(names, every=every, daemon=daemon, states=STATES)
    raise typer.Exit(begin(daemon, "start", chosen, no_wait=no_wait, as_json=as_json))
