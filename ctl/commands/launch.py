"""``node-ctl launch``."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ctl.autostart import connect_or_start
from ctl.client import AnswerError, Daemon
from ctl.launching.follow import wait_until_ready
from ctl.launching.offers import offered
from ctl.options import (
    Context,
    Engine,
    FromDisk,
    Idle,
    Json,
    MinContext,
    MinDecode,
    MinQuality,
    ModelWords,
    Name,
    NoDraft,
    NoMmproj,
    NoWait,
    Parallel,
    Pin,
    Quality,
    Quant,
    Rank,
    Serving,
    Tenants,
    Use,
    absolute_model,
    launch_options,
    with_quant,
)
from ctl.show.launches import launch_lines
from ctl.terminal import print_json

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl launch smollm2-135m
  node-ctl launch gpt-oss-20b --name assistant --context 32768
  node-ctl launch ./model.gguf --parallel 4 --min-decode 10
  node-ctl launch unsloth/Qwen3-8B-GGUF:Q4_K_M --no-wait
  node-ctl launch smollm2-135m --retune
  node-ctl launch gpt-oss-20b --policy on-demand --idle 30m
  node-ctl launch qwen3 coder           # no such name: offers what fits here
  node-ctl launch assistant             # stopped before: as it was, with its options
"""


def command(
    *,
    model: ModelWords,
    name: Name = None,
    context: Context = None,
    parallel: Parallel = None,
    min_decode: MinDecode = None,
    min_context: MinContext = None,
    min_quality: MinQuality = None,
    quality: Quality = None,
    quant: Quant = None,
    engine: Engine = None,
    from_disk: FromDisk = False,
    use: Use = None,
    no_mmproj: NoMmproj = False,
    no_draft: NoDraft = False,
    policy: Serving = None,
    idle: Idle = None,
    priority: Rank = None,
    pin: Pin = None,
    tenants: Tenants = None,
    retune: Annotated[
        bool,
        typer.Option("--retune", help="Measure the thread count again; restarts a launch that is served."),
    ] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Starts a daemon if none is running. A launch is served again after a crash or reboot, until it is
    stopped. Ctrl-C stops watching, not the launch. The name of a launch serves it as it was, with the options
    that are given in place of its own. One that fails leaves what had its name before as it was. --policy,
    --idle, --priority and --pin also change one that is served.
    """
    body = {
        "model": absolute_model(" ".join(model)),
        **launch_options(
            context,
            parallel,
            min_decode,
            with_quant(quality, quant),
            engine,
            from_disk=from_disk,
            no_mmproj=no_mmproj,
            no_draft=no_draft,
            min_context=min_context,
            min_quality=min_quality,
            use=use,
        ),
    }
    if name is not None:
        body["name"] = name
    serving = {"policy": policy, "idle_s": idle, "priority": priority, "pinned": pin, "tenants": tenants}
    body |= {key: value for key, value in serving.items() if value is not None}
    if retune:
        body["retune"] = True
    daemon = connect_or_start()
    try:
        launched = _launched(daemon, body, no_wait=no_wait, as_json=as_json)
    except AnswerError as error:
        body = offered(daemon, "launch", body, error, as_json=as_json)
        launched = _launched(daemon, body, no_wait=no_wait, as_json=as_json)
    if launched is None:
        return
    detail, is_new = launched
    if as_json:
        print_json(detail)
    else:
        print("\n".join(["", *launch_lines(detail, is_new=is_new)]))


def _launched(
    daemon: Daemon, body: Mapping[str, Any], *, no_wait: bool, as_json: bool
) -> tuple[Any, bool] | None:
    """``None`` if nobody waits for it."""
    accepted = daemon.post("/v1/launches", body)
    if not no_wait:
        return wait_until_ready(daemon, accepted, quiet=as_json)
    _print_accepted(accepted, as_json=as_json)
    return None


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
    print(f"watch it with: node-ctl ps, node-ctl logs {name}, node-ctl events")
