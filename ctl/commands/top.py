"""``node-ctl top``."""

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from ctl.autostart import connect
from ctl.options import Json
from ctl.show.formatting import wrap
from ctl.terminal import columns, console, is_terminal, print_json
from ctl.top.keys import pressed, unbuffered
from ctl.top.reading import Reader, Reading
from ctl.top.screen import Line, screen
from domain.errors import DaemonGoneError
from domain.serialization import to_json

if TYPE_CHECKING:
    from rich.text import Text

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl top
  node-ctl top --interval 5
  node-ctl top --once
"""
QUIT = (b"q", b"Q", b"\x03", b"\x04")


def command(
    *,
    interval: Annotated[
        float,
        typer.Option("--interval", "-d", metavar="SECONDS", min=0.5, max=3600, help="Between two readings."),
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as in a pipe.")] = False,
    as_json: Json = False,
) -> None:
    """Models, the memory and heat of each device, and the last events, until q is pressed. LAST MIN are the
    tokens per second of the last minute, ACTIVE and QUEUE requests. --json prints what is shown, once.
    """
    reader = Reader(connect())
    if as_json:
        print_json(_as_json(reader.read()))
    elif once or not is_terminal():
        for text, _ in screen(reader.read(), *shutil.get_terminal_size((100, 40))):
            print(text)
    else:
        _draw_until_quit(reader, interval)


def _as_json(reading: Reading) -> dict[str, object]:
    return {
        "status": reading.status,
        "launches": to_json(reading.rows),
        "memory": to_json(reading.budgets),
        "gpus": to_json(reading.hardware.gpus),
        "thermals": to_json(reading.hardware.thermals),
        "events": reading.events,
    }


def _draw_until_quit(reader: Reader, interval_s: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - of a terminal

    out = console()
    with unbuffered(), Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_text(_lines(reader, out.width, out.height)), refresh=True)
            if pressed(interval_s) in QUIT:
                return


def _lines(reader: Reader, width: int, height: int) -> list[Line]:
    """The screen; while the daemon is gone, what is wrong: it may be restarting."""
    try:
        return screen(reader.read(), width, height)
    except DaemonGoneError as error:
        told = wrap([str(error), error.hint, "asked again; q quits"], columns(), indent=2)
        return [(line, "yellow") for line in told]


def _text(lines: list[Line]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - of a terminal

    drawn = Text(no_wrap=True, overflow="crop", end="")
    for number, (line, style) in enumerate(lines):
        drawn.append(f"{line}\n" if number < len(lines) - 1 else line, style)
    return drawn
