"""``node-ctl show``."""

from typing import Annotated, Any

import typer

from ctl import completion
from ctl.autostart import connect_or_start
from ctl.chat.template import template_of
from ctl.client import AnswerError, Daemon
from ctl.options import Json, absolute_model
from ctl.show.details import launch_lines, model_lines
from ctl.show.formatting import wrap
from ctl.show.launches import api_base
from ctl.terminal import columns, print_json, sanitize
from domain.errors import DoesNotFitError

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
    for this machine, and which of its weights are on this disk. Of one that does not fit: what it would be if
    it was read from the disk, and what lacks. Downloads nothing but the model's header.
    """
    daemon = connect_or_start()
    is_launch = name in {row["name"] for row in daemon.get("/v1/launches")}
    data = _launch(daemon, name) if is_launch else _model(daemon, absolute_model(name))
    if as_json:
        print_json(data)
        return
    lines, pasted = launch_lines(data, columns()) if is_launch else model_lines(data, columns())
    for line in [*wrap(lines, columns(), indent=10), "", *pasted]:
        print(sanitize(line))


def _launch(daemon: Daemon, name: str) -> Any:
    detail = daemon.get(f"/v1/launches/{name}")
    endpoint = detail["launch"]["endpoint"]
    return detail | {"template": template_of(api_base(endpoint), name) if endpoint else None}


def _model(daemon: Daemon, model: str) -> Any:
    """``refusal`` is set for one that does not fit: the plan is then for reading it from the disk."""
    refusal = None
    try:
        plan = daemon.post("/v1/plan", {"model": model})
    except AnswerError as error:
        if error.code != DoesNotFitError.code:
            raise
        plan = _from_disk(daemon, model, error)
        refusal = {"message": str(error), "hint": error.hint}
    repo = plan["weights"]["repo"]
    weights = [row for row in daemon.get("/v1/models") if row["repo"] == repo]
    return {"plan": plan, "weights": weights, "refusal": refusal}


def _from_disk(daemon: Daemon, model: str, refused: AnswerError) -> Any:
    """Raises: ``refused`` where not even that is possible, as for vLLM."""
    try:
        return daemon.post("/v1/plan", {"model": model, "from_disk": True})
    except AnswerError:
        raise refused from None
