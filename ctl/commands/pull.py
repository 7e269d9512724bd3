"""``node-ctl pull``."""

from typing import Annotated, Any

import typer

from ctl.autostart import connect, connect_or_start
from ctl.client import START_HINT, AnswerError, Daemon
from ctl.exit_codes import INTERRUPTED
from ctl.options import (
    Engine,
    Json,
    Model,
    NoDraft,
    NoMmproj,
    NoWait,
    Quality,
    Quant,
    absolute_model,
    launch_options,
    with_quant,
)
from ctl.show.progress import choose_view, follow
from ctl.terminal import note, print_json
from domain import download
from domain.anonymize import without_secrets
from domain.errors import DaemonGoneError, UsageError
from domain.launches.launch import LAST_STEPS, Step

USAGE = "MODEL [OPTIONS]"
EXAMPLES = """
  node-ctl pull gpt-oss-20b
  node-ctl pull unsloth/Qwen3-8B-GGUF:Q5_K_M --limit 20MB/s
  node-ctl pull gpt-oss-120b --window 01:00-06:00 --no-wait
  node-ctl pull gpt-oss-120b --cancel
"""


def _rate(text: str) -> str:
    try:
        download.parse_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _hours(text: str) -> str:
    try:
        download.parse_window(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def command(
    *,
    model: Model,
    quality: Quality = None,
    quant: Quant = None,
    engine: Engine = None,
    no_mmproj: NoMmproj = False,
    no_draft: NoDraft = False,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit", metavar="RATE", parser=_rate, help="Maximum download rate, for example 20MB/s."
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="HOURS",
            parser=_hours,
            help="Hours of the day to download in, for example 01:00-06:00.",
        ),
    ] = None,
    no_wait: NoWait = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the download; what is downloaded is kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetches what a launch would choose for this machine, or the quant that the name says. Ctrl-C ends the
    watching, not the download, which --cancel stops. One that was cancelled, or whose machine lost power,
    goes on where it stopped.
    """
    name = absolute_model(model)
    if cancel:
        _cancel(connect(), name, as_json=as_json)
        return
    options = launch_options(
        None, None, None, with_quant(quality, quant), engine, no_mmproj=no_mmproj, no_draft=no_draft
    )
    body = {"model": name, **options}
    body |= {key: value for key, value in (("limit", limit), ("window", window)) if value is not None}
    found = connect_or_start()
    taken = found.post("/v1/pulls", body)
    if not no_wait:
        _watch(found, taken["id"], without_secrets(model), as_json=as_json)
    elif as_json:
        print_json(taken)
    else:
        shown = without_secrets(model)
        print(f"pulling {shown}" if taken["created"] else f"{shown} is already being pulled")
        print("see it with: node-ctl events --follow, or node-ctl pull again")


def _watch(found: Daemon, number: int, model: str, *, as_json: bool) -> None:
    try:
        with choose_view(as_json=as_json) as steps:
            last = follow(found.lines(f"/v1/pulls/{number}/progress"), steps)
    except KeyboardInterrupt:
        note(
            f"\nthe download continues in the daemon: node-ctl pull {model} watches it again,"
            f" node-ctl pull {model} --cancel stops it and keeps what is downloaded"
        )
        raise typer.Exit(INTERRUPTED) from None
    if last is None:
        raise DaemonGoneError(
            "lost the connection to node-daemon; the download resumes when it runs again",
            hint=START_HINT,
        )
    if last.step is not Step.DONE:
        raise AnswerError(last.code or "download_failed", last.message, hint=last.hint or "")
    if as_json:
        print_json(_row(found, number))


def _row(found: Daemon, number: int) -> Any:
    return next(row for row in found.get("/v1/pulls") if row["id"] == number)


def _cancel(found: Daemon, model: str, *, as_json: bool) -> None:
    shown = without_secrets(model)  # as the daemon lists it
    under_way = [
        row
        for row in found.get("/v1/pulls")
        if shown in (row["model"], row["name"]) and (not row["last"] or row["last"]["step"] not in LAST_STEPS)
    ]
    if not under_way:
        raise UsageError(f"{shown} is not being pulled", hint="a launch's download ends with node-ctl stop")
    rows = [found.post(f"/v1/pulls/{row['id']}/cancel") for row in under_way]
    if as_json:
        print_json(rows)
    else:
        print(f"cancelled {shown}: what is downloaded is kept")
