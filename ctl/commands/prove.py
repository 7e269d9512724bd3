"""``node-ctl prove``."""

from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.client import START_HINT, AnswerError
from ctl.exit_codes import INTERRUPTED
from ctl.options import Json, Launch, launch_path, tokens
from ctl.show.details import proof_lines
from ctl.show.progress import choose_view, follow
from ctl.terminal import note, print_json
from domain.errors import DaemonGoneError, EngineError
from domain.launches.launch import Step

USAGE = "NAME [OPTIONS]"
EXAMPLES = """
  node-ctl prove assistant
  node-ctl prove assistant --depth 65536
"""


def command(
    *,
    name: Launch,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="TOKENS",
            parser=tokens,
            help="Fill this much, for example 65536 or 64k; default: nine tenths of its context.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fills the context with generated text, a piece at a time, and measures decode and prompt speed at four
    depths: later plans expect these. It waits while other requests are answered; one that comes meanwhile
    waits for a piece, some seconds. Ctrl-C ends it, and the launch is served on. An engine that fails is
    started again, with the next smaller context.
    """
    daemon = connect()
    body: dict[str, object] = {} if depth is None else {"depth_tokens": depth}
    try:
        with choose_view(as_json=as_json) as view:
            last = follow(daemon.lines(f"{launch_path(name)}/prove", body), view)
    except KeyboardInterrupt:
        note(f"\nthe proof has ended without a result, {name} is served on")
        raise typer.Exit(INTERRUPTED) from None
    if last is None:
        raise DaemonGoneError(f"lost the connection to node-daemon while it proved {name}", hint=START_HINT)
    if last.step is Step.FAILED:
        raise AnswerError(
            last.code or EngineError.code, last.message, hint=last.hint or "", engine_output=last.line or ""
        )
    detail = daemon.get(launch_path(name))
    if as_json:
        print_json(detail["proof"])
        return
    print("\n".join(proof_lines(detail["proof"])))
