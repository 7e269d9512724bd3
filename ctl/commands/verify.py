"""``node-ctl verify``."""

import json
from typing import Annotated
from urllib.parse import urlencode

import typer

from ctl import completion
from ctl.autostart import connect
from ctl.exit_codes import FAILED
from ctl.options import Json
from ctl.terminal import is_terminal, note, print_json_line
from domain.units import gib

USAGE = "[MODEL] [OPTIONS]"
EXAMPLES = """
  node-ctl verify
  node-ctl verify ggml-org/gpt-oss-20b-GGUF
"""


def command(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="Weights as models lists them; else all.", autocompletion=completion.stored
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Reads every byte and compares digests. What is damaged is set aside where nothing uses it, so that
    pull fetches it again. Exit status 1 where something is damaged. With --json, one object a line.
    """
    damaged = 0
    query = f"?{urlencode({'model': model})}" if model else ""
    for line in connect().lines(f"/v1/models/verify{query}"):
        step = json.loads(line)
        damaged += bool(step["damaged"])
        if as_json:
            print_json_line(step)
        elif step["ended"]:
            print(f"{_verdict(step):<9} {step['model']}  {step['file']}", flush=True)
            if step["damaged"]:
                note(f"          {step['damaged']}")
        elif is_terminal():
            note(f"          {gib(step['bytes_done'])} of {gib(step['bytes_total'])}")
    if damaged:
        note("node-ctl pull MODEL fetches what is damaged again")
        raise typer.Exit(FAILED)


def _verdict(step: dict[str, object]) -> str:
    if step["damaged"]:
        return "damaged"
    return "sound" if step["known"] else "readable"  # nobody said what it should come to
