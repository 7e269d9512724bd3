"""``node-ctl lan``: opens the gateway to the local network, and closes it."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect
from ctl.command_group import CommandGroup
from ctl.options import Json
from ctl.terminal import print_json, sanitize

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Open the gateway to the local network, or close it.",
    epilog="""\b
Examples:
  node-ctl lan on
  node-ctl lan on --key laptop
  node-ctl lan off
""",
)

NEW_KEY = "lan"
KeyName = Annotated[str, typer.Option("--key", metavar="NAME", help="Name of the first key.")]


@app.command()
def on(*, key: KeyName = NEW_KEY, as_json: Json = False) -> None:
    """Listen on all addresses of this machine, for clients that have a key.

    The first key is made and printed if there is none. A request without a key is tried: if it were answered,
    the gateway would be closed again. It stays open over restarts. The traffic is not encrypted. With
    --json: {"is_on", "urls", "keys", "added": {"name", "key"} or null}.
    """
    state = connect().post("/v1/lan", {"on": True, "key_name": key})
    if as_json:
        print_json(state)
        return
    print("\n".join(_lines(state)))


@app.command()
def off(*, as_json: Json = False) -> None:
    """Listen on this machine alone. Keys are kept.

    With --json: {"is_on", "urls", "keys", "added"}.
    """
    state = connect().post("/v1/lan", {"on": False})
    if as_json:
        print_json(state)
        return
    print("the gateway is on this machine alone")


def _lines(state: Any) -> list[str]:
    """What a client on another machine has to be given."""
    base = state["urls"][0] if state["urls"] else "http://ADDRESS:PORT"
    lines = [f"URL       {url}" for url in state["urls"]]
    lines = lines or ["URL       this machine has no network now"]
    if state["added"] is not None:
        key = state["added"]["key"]
        lines.append(f"key       {key}  (shown once)")
    else:
        key = "KEY"
        names = ", ".join(map(sanitize, state["keys"]))
        lines.append(f"keys      {names}; node-ctl keys add NAME makes another")
    return [
        *lines,
        "",
        f"OpenAI    OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={key}",
        f"Anthropic ANTHROPIC_BASE_URL={base} ANTHROPIC_AUTH_TOKEN={key}",
        f"curl      curl {base}/v1/models -H 'Authorization: Bearer {key}'",
    ]
