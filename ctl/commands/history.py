"""``node-ctl history``."""

import shutil
import sys
from typing import Annotated
from urllib.parse import urlencode

import typer

from ctl import completion
from ctl.autostart import connect
from ctl.encoding import is_unicode
from ctl.history.screen import Style, screen
from ctl.options import Json, seconds
from ctl.show.formatting import decode
from ctl.terminal import columns, print_json, print_styled
from domain.telemetry import History

USAGE = "[OPTIONS] [temperature|power|memory|tokens|energy]"
EXAMPLES = """
  node-ctl history
  node-ctl history temperature --since 7d
  node-ctl history power --device GPU0 --since 2h
  node-ctl history tokens --launch gpt-oss-20b --since 90d
"""
MOST_POINTS = 300  # limit of the daemon's API
PIPE = (100, 40)  # columns where nobody says how many


def command(
    *,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="Draw charts of this alone.",
            autocompletion=completion.recorded,
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        float,
        typer.Option("--since", metavar="TIME", parser=seconds, help="How far back: 90m, 24h, 7d, 90d."),
    ] = "24h",  # type: ignore[assignment]  # it is parsed
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="GPU0, the id of a GPU, or host.")
    ] = None,
    launch: Annotated[
        str | None,
        typer.Option(
            "--launch", metavar="NAME", help="What is known of a launch.", autocompletion=completion.launches
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Temperature, power, memory, tokens and energy of the last day, or of up to 90 days: recorded on this
    machine, and sent nowhere. A step without a sample is blank. Tokens are those that the gateway counted;
    the energy of a launch is known while it has its devices alone.
    """
    style = Style(columns() or shutil.get_terminal_size(PIPE).columns, is_unicode(sys.stdout))
    is_detailed = what is not None
    asked = {"what": what, "since_s": since, "device": device, "launch": launch}
    asked |= {"points": min(MOST_POINTS, style.points(is_detailed=is_detailed))}
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    answer = connect().get(f"/v1/history?{query}")
    if as_json:
        print_json(answer)
        return
    for text, kind in screen(decode(History, answer), style, is_detailed=is_detailed):
        print_styled(text, kind)
