"""``node-ctl config``: checks the settings file, and shows the settings in force."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ctl.client import Daemon, find_socket
from ctl.command_group import CommandGroup
from ctl.exit_codes import exit_status
from ctl.options import Json
from ctl.terminal import note, print_json
from domain.errors import ConfigError

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Check the settings file, or show the settings in force.",
    epilog="""\b
Examples:
  node-ctl config check
  node-ctl config check /etc/node-daemon/config.toml
  node-ctl config show
""",
)

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The settings file; default: the one that a daemon of yours reads."),
]


@app.command()
def check(*, file: File = None, as_json: Json = False) -> None:
    """Find all problems of the settings file and of the NODE_DAEMON_ variables, without a daemon.

    Exit status 2 if there are any. With --json: {"file", "problems": [{"origin", "line", "key", "message",
    "hint"}]}.
    """
    from config import loading, paths  # noqa: PLC0415 - --help does without pydantic

    loaded = loading.read(file)
    name = None if loaded.file is None else str(loaded.file)
    if as_json:
        print_json({"file": name, "problems": [asdict(problem) for problem in loaded.problems]})
    else:
        for problem in loaded.problems:
            print(f"{problem}{f' ({problem.hint})' if problem.hint else ''}")
        if not loaded.problems:
            places = " or ".join(str(path) for path in paths.config_places())
            print(f"{name}: valid" if name else f"no settings file at {places}: the defaults are used")
    if loaded.problems:
        raise typer.Exit(exit_status(ConfigError.code))


@app.command()
def show(*, as_json: Json = False) -> None:
    """Show each setting with its value and origin: a file, the environment, the default. Secrets are masked.

    The values are those of the running daemon, else those with which one would start. With --json: {"daemon",
    "file", "settings": [{"name", "value", "origin"}], "problems"}; "daemon" is the socket, null without one.
    """
    data = _of_daemon() or _without_daemon()
    if as_json:
        print_json(data)
        return
    print(f"# {_whose(data)}")
    lines = [(_line(row), row["origin"]) for row in data["settings"]]
    width = max(len(line) for line, _ in lines)
    for line, origin in lines:
        print(f"{line:<{width}}  # {origin}")
    for problem in data["problems"]:
        line = "" if problem["line"] is None else f":{problem['line']}"
        note(f"node-ctl: not used: {problem['origin']}{line}: {problem['message']}")


def _line(row: dict[str, Any]) -> str:
    """A line of a settings file."""
    if row["value"] is None:
        return f"# {row['name']} is not set"
    return f"{row['name']} = {json.dumps(row['value'], ensure_ascii=False)}"


def _of_daemon() -> dict[str, Any] | None:
    socket = find_socket()
    if socket is None:
        return None
    return {"daemon": str(socket), **Daemon(socket).get("/v1/settings")}


def _without_daemon() -> dict[str, Any]:
    from config import loading  # noqa: PLC0415 - as above

    loaded = loading.read()
    return {
        "daemon": None,
        "file": None if loaded.file is None else str(loaded.file),
        "settings": loading.effective(loaded),
        "problems": [asdict(problem) for problem in loaded.problems],
    }


def _whose(data: dict[str, Any]) -> str:
    file = data["file"] or "no settings file"
    if data["daemon"] is None:
        return f"no node-daemon is running; one would start with these settings ({file})"
    return f"settings of the node-daemon at {data['daemon']} ({file})"
