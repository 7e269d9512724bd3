"""``node-ctl stop``."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect
from ctl.launching.several import STOP_TIMEOUT_S, for_each, named
from ctl.options import Json, Launches, launch_path
from domain.launches.launch import LaunchState

USAGE = "NAME... [OPTIONS]"
EXAMPLES = """
  node-ctl stop smollm2-135m
  node-ctl stop smollm2-135m --forget
  node-ctl stop assistant coder
  node-ctl stop --all
"""


def command(
    *,
    names: Launches = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that are not stopped; with --forget all.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Also remove it from the list.")] = False,
    as_json: Json = False,
) -> None:
    """It stays stopped after a reboot; node-ctl start NAME serves it again as it was. Its weights are kept.
    With several names, one that can't be stopped does not hold up the others.
    """
    daemon = connect()
    states = set(LaunchState) if forget else set(LaunchState) - {LaunchState.STOPPED}

    def stop(name: str) -> Any:
        return daemon.post(f"{launch_path(name)}/stop", {"forget": forget}, timeout_s=STOP_TIMEOUT_S)

    def say(name: str, _row: Any) -> str:
        return f"{name} is stopped and forgotten" if forget else f"{name} is stopped"

    chosen = named(names, every=every, daemon=daemon, states=states)
    raise typer.Exit(for_each(chosen, stop, say, as_json=as_json))
