"""``node-ctl keys``: who may ask the gateway over the network."""

from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.command_group import CommandGroup
from ctl.options import Json
from ctl.show.formatting import ago, table
from ctl.terminal import columns, print_json, sanitize
from domain.priority import Priority

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make, list and revoke the keys of clients on other machines.",
    epilog="""\b
Examples:
  node-ctl keys add laptop
  node-ctl keys add nightly --model qwen3-8b --class batch --rate 60/min
  node-ctl keys list
  node-ctl keys revoke laptop
""",
)

KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for example a machine.")]


@app.command()
def add(
    *,
    name: KeyName,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME", help="A launch that it may ask, once for each; without, all of them."
        ),
    ] = None,
    priority: Annotated[
        Priority,
        typer.Option("--class", help="The highest class of its requests at a busy model."),
    ] = Priority.INTERACTIVE,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="At most so many requests, 60/min, or tokens, '100000 tokens/hour'.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once and stored nowhere: only its hash is.

    Clients send it as their API key. On this machine none is needed. With --json: {"name", "key"}.
    """
    added = connect().post(
        "/v1/keys", {"name": name, "models": models or [], "priority": priority.value, "rate": rate}
    )
    if as_json:
        print_json(added)
        return
    print(added["key"])


@app.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """List keys by name, with what they may do and the time of their last use.

    With --json: [{"name", "created", "last_used", "models", "priority", "rate"}].
    """
    rows = connect().get("/v1/keys")
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("no keys: node-ctl keys add NAME makes one")
        return
    cells = [
        {
            "NAME": sanitize(row["name"]),
            "MODELS": sanitize(", ".join(row["models"])) or "all",
            "CLASS": row["priority"],
            "RATE": row["rate"] or "-",
            "MADE": f"{ago(row['created'])} ago",
            "LAST USED": f"{ago(row['last_used'])} ago" if row["last_used"] else "never",
        }
        for row in rows
    ]
    for lines in table(cells, tuple(cells[0]), columns()):
        print("\n".join(lines))


@app.command()
def revoke(*, name: KeyName, as_json: Json = False) -> None:
    """Revoke a key: from now on it opens nothing. Answers that have begun go on."""
    row = connect().post("/v1/keys/revoke", {"name": name})
    if as_json:
        print_json(row)
    else:
        print(f"the key {sanitize(row['name'])} is revoked")
