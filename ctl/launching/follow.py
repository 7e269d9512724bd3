"""Follows a launch that the daemon accepted until it is served: what launch, run, start and restart share."""

from typing import Any

import typer

from ctl.client import START_HINT, AnswerError, Daemon
from ctl.exit_codes import INTERRUPTED
from ctl.options import launch_path
from ctl.show.progress import ProgressView, choose_view, follow
from ctl.terminal import note
from domain.errors import DaemonGoneError, EngineError
from domain.launches.launch import LaunchState, Step


def wait_until_ready(daemon: Daemon, accepted: Any, *, quiet: bool) -> tuple[Any, bool]:
    """The details of the launch, and whether it was not served before. Progress is shown, with ``quiet`` on
    standard error; Ctrl-C ends the watching. Raises: what ended the launch."""
    name = accepted["name"]
    if not accepted["created"]:
        detail = daemon.get(launch_path(name))
        if detail["launch"]["state"] == LaunchState.READY:
            note(f"{name} is already served with the same options")
            return detail, False
    try:
        return follow_launch(daemon, name, choose_view(as_json=quiet)), True
    except KeyboardInterrupt:
        note(f"\nthe launch continues in the daemon: node-ctl ps, node-ctl logs {name}, node-ctl stop {name}")
        raise typer.Exit(INTERRUPTED) from None


def follow_launch(daemon: Daemon, name: str, view: ProgressView) -> Any:
    """The details of the launch once it is served. Raises: what ended it."""
    with view as steps:
        last = follow(daemon.lines(f"{launch_path(name)}/progress"), steps)
    if last is None:
        raise DaemonGoneError(f"lost the connection to node-daemon while it launched {name}", hint=START_HINT)
    if last.step is Step.FAILED:
        code = last.code or EngineError.code
        see_log = f"see node-ctl logs {name}" if code == EngineError.code else ""
        raise AnswerError(code, last.message, hint=last.hint or see_log, engine_output=last.line or "")
    if last.step is Step.STOPPED:
        raise AnswerError("failed", f"{name} was stopped before it was ready", hint="see node-ctl events")
    return daemon.get(launch_path(name))
