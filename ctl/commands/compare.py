"""``node-ctl compare``."""

from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.completion import models as complete_models
from ctl.completion import profiles as complete_profiles
from ctl.options import Json, absolute_model
from ctl.profile import profile_json
from ctl.show.compare import comparison_lines
from ctl.terminal import columns, is_terminal, note, print_json
from domain.errors import UsageError

USAGE = "MODEL... [--on PROFILE...] [OPTIONS]"
EXAMPLES = """
  node-ctl compare gpt-oss-120b
  node-ctl compare gpt-oss-20b gpt-oss-120b --on rtx-5090 dgx-spark strix-halo
  node-ctl compare qwen3-8b --on this-box.json rtx-3090 --json
"""
# All built-in profiles with several models take a minute of arithmetic on a slow machine.
ANSWER_TIMEOUT_S = 600.0


def command(
    *,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Names, owner/repo[:quant], paths or URLs.",
            autocompletion=complete_models,
        ),
    ],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROFILE",
            help="Machines: profiles, or files written by probe --save. Default: all built-in profiles.",
            autocompletion=complete_profiles,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Plans each model for each machine. Downloads nothing but the headers of the models."""
    from config import data  # noqa: PLC0415 - reads the profiles

    built_in = data.profile_names()
    machines = [*(on or ()), *(word for word in models if _is_profile(word, built_in))]
    named = [word for word in models if word not in machines]
    if not named:
        raise UsageError("no model is given", hint="node-ctl compare MODEL... --on PROFILE...")
    body = {
        "models": [absolute_model(model) for model in dict.fromkeys(named)],
        "on": [profile_json(machine)["on"] for machine in dict.fromkeys(machines or built_in)],
    }
    if is_terminal() and not as_json:
        note("planning...")
    rows = connect_or_start().post("/v1/compare", body, timeout_s=ANSWER_TIMEOUT_S)
    if as_json:
        print_json(rows)
    else:
        print("\n".join(comparison_lines(rows, columns())))


def _is_profile(word: str, built_in: tuple[str, ...]) -> bool:
    """In ``--on A B`` only A is a value of the option, B is parsed as a model. No model has such a name."""
    return word.endswith(".json") or any(name == word or name.startswith(f"{word}-") for name in built_in)
