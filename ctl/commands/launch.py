"""``node-ctl launch``."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect_or_start
from ctl.client import START_HINT, AnswerError, Daemon
from ctl.exit_codes import INTERRUPTED
from ctl.options import (
    Context,
    Engine,
    FromDisk,
    Json,
    MinDecode,
    Model,
    Parallel,
    Quality,
    absolute_model,
    launch_options,
    launch_path,
)
from ctl.progress_view import choose_view
from ctl.show.launches import launch_lines
from ctl.show.progress import follow
from ctl.terminal import note, print_json
from domain.errors import DaemonGoneError, EngineError
from domain.launch import LaunchState, Step

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl launch smollm2-135m
  node-ctl launch gpt-oss-20b --name helper --context 32768
  node-ctl launch ./model.gguf --parallel 4 --min-decode 10
  node-ctl launch unsloth/Qwen3-8B-GGUF:Q4_K_M --no-wait
  node-ctl launch smollm2-135m --retune
"""


def command(
    *,
    model: Model,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the launch; default: of the model."),
    ] = None,
    context: Context = None,
    parallel: Parallel = None,
    min_decode: MinDecode = None,
    quality: Quality = None,
    engine: Engine = None,
    from_disk: FromDisk = False,
    retune: Annotated[
        bool,
        typer.Option("--retune", help="Measure the thread count again; restarts a launch that is served."),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return as soon as the daemon has accepted it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Starts a daemon if none is running. A launch is served again after a crash or reboot, until it is
    stopped. Ctrl-C stops watching, not the launch.
    """
    body = {
        "model": absolute_model(model),
        **launch_options(context, parallel, min_decode, quality, engine, from_disk=from_disk),
    }
    if name is not None:
        body["name"] = name
    if retune:
        body["retune"] = True
    daemon = connect_or_start()
    accepted = daemon.post("/v1/launches", body)
    if no_wait:
        _print_accepted(accepted, as_json=as_json)
        return
    name = accepted["name"]
    served = None if accepted["created"] else _served(daemon, name)
    if served is not None:
        note(f"{name} is already served with the same options")
    detail = served or _watched(daemon, name, as_json=as_json)
    if as_json:
        print_json(detail)
    else:
        print("\n".join(["", *launch_lines(detail, is_new=served is None)]))


def _print_accepted(accepted: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(accepted)
        return
    name = accepted["name"]
    print(
        f"launching {name}"
        if accepted["created"]
        else f"{name} is already being launched with the same options"
    )
    print(f"watch it with: node-ctl ps, node-ctl logs {name}")


def _served(daemon: Daemon, name: str) -> Any:
    """The details of a launch that is ready, else ``None``."""
    detail = daemon.get(launch_path(name))
    return detail if detail["launch"]["state"] == LaunchState.READY else None


def _watched(daemon: Daemon, name: str, *, as_json: bool) -> Any:
    """Shows progress until the launch is ready, and returns its details. Raises: what ended it."""
    try:
        with choose_view(as_json=as_json) as steps:
            last = follow(daemon.lines(f"{launch_path(name)}/progress"), steps)
    except KeyboardInterrupt:
        note(f"\nthe launch continues in the daemon: node-ctl ps, node-ctl logs {name}, node-ctl stop {name}")
        raise typer.Exit(INTERRUPTED) from None
    if last is None:
        raise DaemonGoneError(f"lost the connection to node-daemon while it launched {name}", hint=START_HINT)
    if last.step is Step.FAILED:
        code = last.code or EngineError.code
        see_log = f"see node-ctl logs {name}" if code == EngineError.code else ""
        raise AnswerError(code, last.message, hint=last.hint or see_log, engine_output=last.line or "")
    if last.step is Step.STOPPED:
        raise AnswerError("failed", f"{name} was stopped before it was ready", hint="see node-ctl events")
    return daemon.get(launch_path(name))
