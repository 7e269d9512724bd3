"""``node-ctl gc``."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect
from ctl.commands.rm import REMOVE_TIMEOUT_S
from ctl.options import Json
from ctl.terminal import print_json
from domain import download
from domain.units import gib

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl gc --dry-run
  node-ctl gc --free 200GB
"""


def _size(text: str) -> int:
    try:
        return download.parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def command(
    *,
    free: Annotated[
        int | None,
        typer.Option("--free", metavar="SIZE", parser=_size, help="Free space to reach, for example 200GB."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Removes until --free, or the setting disk_low_bytes, is reached. Keeps what is pinned, in use or owned
    by another tool. Exit status 1 if that does not free enough.
    """
    body: dict[str, object] = {"dry_run": dry_run}
    if free is not None:
        body["free_bytes"] = free
    done = connect().post("/v1/models/gc", body, timeout_s=REMOVE_TIMEOUT_S)
    if as_json:
        print_json(done)
    else:
        _print(done)
    if done["short_bytes"]:
        raise typer.Exit(1)


def _print(done: Any) -> None:
    verb = "would remove" if done["dry_run"] else "removed"
    leftovers = [f"{done['leftovers']} leftovers of downloads"] if done["leftovers"] else []
    removed = [*done["models"], *leftovers]
    freed, free, short = done["freed_bytes"], done["free_bytes"], done["short_bytes"]
    print(f"{verb} {', '.join(removed)}: {gib(freed)}" if removed else "nothing to remove")
    missing = f", {gib(short)} short: the rest is pinned, in use or owned by another tool" if short else ""
    print(f"{gib(free)} free{missing}")
