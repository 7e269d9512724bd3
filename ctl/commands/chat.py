"""``node-ctl chat``."""

from typing import Annotated

import typer

from ctl import completion
from ctl.autostart import connect
from ctl.chat.answer import Sampling
from ctl.chat.served import find_served
from ctl.chat.session import Session
from ctl.options import Json, MaxTokens, System, Temperature

USAGE = "[NAME] [OPTIONS]"
EXAMPLES = """
  node-ctl chat smollm2-135m
  node-ctl chat                                 # where one model is ready
  node-ctl chat assistant --system "Answer in French."
  node-ctl chat assistant < questions.txt       # a line is a message
"""


def command(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The launch; not needed if only one is ready.",
            autocompletion=completion.launches,
        ),
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    system: System = None,
    as_json: Json = False,
) -> None:
    """Each line is a message; the history is kept until the end of the session, and is stored nowhere. /clear
    forgets it, Ctrl-C stops an answer, Ctrl-D or /bye leaves. With --json, one object per answer.
    """
    daemon = connect()
    chosen = find_served(daemon, name, usage="node-ctl chat NAME").name
    Session(
        lambda: find_served(daemon, chosen, usage=""),
        Sampling(max_tokens, temperature),
        system=system,
        as_json=as_json,
    ).run()
