"""``node-ctl show``."""

from typing import Annotated, Any

import typer

from ctl import completion
from ctl.autostart import connect_or_start
from ctl.chat.template import template_of
from ctl.client import Daemon
from ctl.options import Json, absolute_model
from ctl.show.details import launch_lines, model_lines
from ctl.show.formatting import wrap
from ctl.show.launches import api_base
from ctl.terminal import columns, print_json, sanitize

USAGE = "NAME|MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl show smollm2-135m
  node-ctl show unsloth/Qwen3-8B-GGUF:Q4_K_M
  node-ctl show assistant --json
"""


def command(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A launch, as listed by ps; else a model, as plan takes it.",
            autocompletion=completion.launches,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Of a launch: state, options, plan, files, chat template, command. Of a model: what launch would choose
    for this machine, and which of its weights are on this disk. Downloads nothing but the model's header.
    """
    daemon = connect_or_start()
    is_launch = name in {row["name"] for row in daemon.get("/v1/launches")}
    data = _launch(daemon, name) if is_launch else _model(daemon, absolute_model(name))
    if as_json:
        print_json(data)
        return
    lines, pasted = launch_lines(data) if is_launch else model_lines(data)
    for line in [*wrap(lines, columns(), indent=10), "", pasted]:
        print(sanitize(line))


def _launch(daemon: Daemon, name: str) -> Any:
    detail = daemon.get(f"/v1/launches/{name}")
    endpoint = detail["launch"]["endpoint"]
    return detail | {"template": template_of(api_base(endpoint)) if endpoint else None}


def _model(daemon: Daemon, model: str) -> Any:
    plan = daemon.post("/v1/plan", {"model": model})
    repo = plan["weights"]["repo"]
    return {"plan": plan, "weights": [row for row in daemon.get("/v1/models") if row["repo"] == repo]}
