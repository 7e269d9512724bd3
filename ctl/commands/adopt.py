"""``node-ctl adopt``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ctl.autostart import connect_or_start
from ctl.options import Json
from ctl.terminal import print_json
from domain.units import gib

USAGE = "[FOLDER] [OPTIONS]"
EXAMPLES = """
  node-ctl adopt
  node-ctl adopt /usr/share/ollama/.ollama/models
  node-ctl adopt ~/.lmstudio/models
"""


def command(
    *,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Model folder of Ollama or LM Studio; default: its usual place."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copies nothing: the files stay where they are and can be launched by the names that this prints. rm
    removes the name, never the file.
    """
    body = {} if folder is None else {"folder": os.path.abspath(folder.expanduser())}  # noqa: PTH100 - Path.resolve follows links
    rows = connect_or_start().post("/v1/models/adopt", body)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['model']}  {gib(row['size_bytes'])}")
