"""``node-ctl connect``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ctl import autostart, completion
from ctl.connect import show
from ctl.connect.clients import CLIENTS
from ctl.connect.served import find_service
from ctl.connect.setup import context_note
from ctl.connect.write import write_all
from ctl.options import Json
from ctl.terminal import note, print_json
from domain.errors import UsageError
from domain.suggestions import did_you_mean

MAX_KEY_BYTES = 4096
USAGE = "CLIENT [OPTIONS]"
EXAMPLES = """
  node-ctl connect claude-code
  node-ctl connect codex --model gpt-oss-120b --write
  node-ctl connect home-assistant --url http://192.168.1.20:8411 --key-file key.txt
"""


def command(
    *,
    client: Annotated[
        str,
        typer.Argument(
            metavar="CLIENT", help=f"One of {', '.join(CLIENTS)}.", autocompletion=completion.clients
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model to use, as listed by ps; default: the only one.",
            autocompletion=completion.launches,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="The address, for another machine; default: that on this one."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="NODE_CTL_KEY",
            help="A key of keys add; this machine needs none. Others on it see it in ps: use --key-file.",
        ),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option("--key-file", metavar="FILE", help="A file with the key; - is the standard input."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Merge the settings into the client's files, with a backup.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prints the settings with which a client uses the models that are served here: address, model, and the
    limits of context and answer. Run it again after a launch with another context.

    With --write the settings are merged into the client's own files. All else in them stays, comments too,
    and the file that was there is kept beside it.
    """
    known = CLIENTS.get(client.lower())
    if known is None:
        raise UsageError(f"no client is called {client!r}", hint=did_you_mean(client, CLIENTS))
    given = key if key_file is None else read_key(key_file)
    service = find_service(autostart.connect(), model, url=url, key=given)
    setup = known.setup(service)
    if write and not setup.files:
        raise UsageError(
            f"{known.title} has no file of settings that could be written",
            hint=f"node-ctl connect {known.name} prints what to set",
        )
    notes = context_note(known, service.model)
    written = write_all(setup.files, has_key=bool(service.given_key)) if write else None
    if as_json:
        print_json(show.as_json(known, service, setup, notes, written))
        return
    if written is None:
        print(show.text(setup, notes), end="")
        return
    for one in written:
        print(show.written_line(one))
    for text in (*setup.notes, *notes):
        note(f"note: {text}")


def read_key(name: str) -> str:
    """Its first line. Raises: UsageError for a file that can't be read, or has none."""
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_KEY_BYTES)
        else:
            with Path(name).expanduser().open("rb") as file:
                content = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(
            f"{name} can't be read: {error.strerror}", hint="name a file with the key"
        ) from error
    key = content.decode("ascii", "replace").strip().partition("\n")[0].strip()
    if not key.isprintable() or not key or not key.isascii():
        raise UsageError(f"{name} has no key", hint="node-ctl keys add NAME > FILE writes one")
    return key
