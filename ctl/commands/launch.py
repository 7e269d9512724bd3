"""``node-ctl launch``."""

from typing import Annotated, Any

import typer

from ctl.autostart import daemon_or_start
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
    launch_path,
    located,
    wish,
)
from ctl.progress_view import steps_for
from ctl.show.launches import launched_lines
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
"""


def command(
    *,
    model: Model,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; else the model's name.")
    ] = None,
    context: Context = None,
    parallel: Parallel = None,
    min_decode: MinDecode = None,
    quality: Quality = None,
    engine: Engine = None,
    from_disk: FromDisk = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return once the daemon has taken it over.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Starts a daemon for you where none runs. What was launched is served again after a crash or a
    reboot, until it is stopped. Ctrl-C ends the watching, not the launch.
    """
    body = {
        "model": located(model),
        **wish(context, parallel, min_decode, quality, engine, from_disk=from_disk),
    }
    if name is not None:
        body["name"] = name
    daemon = daemon_or_start()
    taken = daemon.post("/v1/launches", body)
    if no_wait:
        _print_taken(taken, as_json=as_json)
        return
    name = taken["name"]
    served = None if taken["created"] else _served(daemon, name)
    if served is not None:
        note(f"{name} is served already, by the same request")
    detail = served or _watched(daemon, name, as_json=as_json)
    if as_json:
        print_json(detail)
    else:
        print("\n".join(["", *launched_lines(detail, began=served is None)]))


def _print_taken(taken: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(taken)
        return
    name = taken["name"]
    print(f"launching {name}" if taken["created"] else f"{name} is launched already, by the same request")
    print(f"see it with: node-ctl ps, node-ctl logs {name}")


def _served(daemon: Daemon, name: str) -> Any:
    """The launch's detail where it is ready; ``None`` while it is on its way."""
    detail = daemon.get(launch_path(name))
    return detail if detail["launch"]["state"] == LaunchState.READY else None


def _watched(daemon: Daemon, name: str, *, as_json: bool) -> Any:
    """Follows the launch to its end. The launch's detail once it is ready; else raises what ended it."""
    try:
        with steps_for(as_json=as_json) as steps:
            last = follow(daemon.lines(f"{launch_path(name)}/progress"), steps)
    except KeyboardInterrupt:
        note(f"\nstill launching in the daemon: node-ctl ps, node-ctl logs {name}, node-ctl stop {name}")
        raise typer.Exit(INTERRUPTED) from None
    if last is None:
        raise DaemonGoneError(f"node-daemon went away while it launched {name}", hint=START_HINT)
    if last.step is Step.FAILED:
        code = last.code or EngineError.code
        see_log = f"see node-ctl logs {name}" if code == EngineError.code else ""
        raise AnswerError(code, last.message, hint=last.hint or see_log, engine_output=last.line or "")
    if last.step is Step.STOPPED:
        raise AnswerError("failed", f"{name} was stopped before it was ready", hint="someone stopped it")
    return daemon.get(launch_path(name))
