"""``node-ctl probe``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ctl import files
from ctl.autostart import connect_or_start
from ctl.options import Json
from ctl.show.formatting import decode, wrap
from ctl.show.machine.hardware import hardware_lines
from ctl.show.machine.sources import sources_lines
from ctl.terminal import columns, note, print_json
from domain.errors import UsageError
from domain.machine.hardware import Hardware
from domain.units import gib

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl probe
  node-ctl probe --refresh
  node-ctl probe --sources                 # the source of each value, and how sure it is
  node-ctl probe --save this-box.json      # then plan --on this-box.json elsewhere
"""


def command(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ignore cached values.")] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="List each value with its source and certainty.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write a profile of this machine, for --on elsewhere."),
    ] = None,
    as_json: Json = False,
) -> None:
    """CPU, memory, GPUs, temperatures, storage, engines, and what could not be read.

    The JSON always has "sources", by the full name of the value: {"memory.total_bytes": {"source",
    "certainty": "read|derived|measured|rated|assumed", "note"}}.
    """
    if save is not None:
        _save(save, as_json=as_json)
        return
    data = connect_or_start().get(f"/v1/probe?refresh={str(refresh).lower()}")
    if as_json:
        print_json(data)
    else:
        lines = sources_lines(data) if sources else hardware_lines(data)
        print("\n".join(wrap(lines, columns(), indent=10)))


def _save(path: Path, *, as_json: bool) -> None:
    """Raises: UsageError, before the daemon is asked, for a path that can't be used."""
    if path.suffix != ".json":
        raise UsageError(
            f"{path} does not end in .json",
            hint="--on takes any other word for the name of a built-in profile",
        )
    files.check_writable(path, _is_profile, "profile")
    profile = connect_or_start().get("/v1/profile")
    files.write(path, json.dumps(profile, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(profile)
    memory = decode(Hardware, profile).memory
    note(f"wrote {path}, with {gib(memory.available_bytes)} of {gib(memory.total_bytes)} RAM free")


def _is_profile(text: str) -> bool:
    try:
        return bool({"cpu", "memory", "gpus"} <= json.loads(text).keys())
    except (ValueError, AttributeError, RecursionError):
        return False
