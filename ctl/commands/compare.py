"""``node-ctl compare``."""

from typing import Annotated

import typer

from ctl.autostart import daemon_or_start
from ctl.completion import models as complete_models
from ctl.completion import profiles as complete_profiles
from ctl.options import Json, located
from ctl.profile import profile_json
from ctl.show.compare import lines
from ctl.terminal import is_terminal, note, print_json
from domain.errors import UsageError

USAGE = "MODEL... [--on PROFILE...] [OPTIONS]"
EXAMPLES = """
  node-ctl compare gpt-oss-120b
  node-ctl compare gpt-oss-20b gpt-oss-120b --on rtx-5090 dgx-spark strix-halo
  node-ctl compare qwen3-8b --on this-box.json rtx-3090 --json
"""
# All shipped boxes with several models are a minute of arithmetic on a slow machine.
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
            help="Machines: names of profiles, or files that probe --save wrote. All that ship if none.",
            autocompletion=complete_profiles,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Plans each model for each machine, and shows which would serve it best. Nothing is downloaded but
    the model's header."""
    from config import data  # noqa: PLC0415 - reads the profiles

    shipped = data.profile_names()
    boxes = [*(on or ()), *(word for word in models if _is_profile(word, shipped))]
    asked = [word for word in models if word not in boxes]
    if not asked:
        raise UsageError("no model is named", hint="node-ctl compare MODEL... --on PROFILE...")
    body = {
        "models": [located(model) for model in dict.fromkeys(asked)],
        "on": [profile_json(box)["on"] for box in dict.fromkeys(boxes or shipped)],
    }
    if is_terminal() and not as_json:
        note("planning...")
    rows = daemon_or_start().post("/v1/compare", body, timeout_s=ANSWER_TIMEOUT_S)
    if as_json:
        print_json(rows)
    else:
        print("\n".join(lines(rows)))


def _is_profile(name: str, shipped: tuple[str, ...]) -> bool:
    """``--on A B``: an option takes one word, those after it come as models. No model has such a name."""
    return name.endswith(".json") or any(one == name or one.startswith(f"{name}-") for one in shipped)
