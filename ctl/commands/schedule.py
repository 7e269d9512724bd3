"""``node-ctl schedule``: what is done at times of the day."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from ctl.autostart import connect
from ctl.command_group import CommandGroup
from ctl.options import Json, size
from ctl.show.formatting import decode, table, wrap
from ctl.terminal import columns, print_json, sanitize
from domain.launches.schedule import ScheduleRow

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Start, stop and swap models, download and check weights at times of the day.",
    epilog="""\b
Examples:
  node-ctl schedule add "every night at 2:30" swap coder writer
  node-ctl schedule add "weekdays 8:00-18:00" start coder
  node-ctl schedule add "every night 1:00-6:00" downloads
  node-ctl schedule add "sundays at 4am" gc --free 200GB
  node-ctl schedule add "0 5 1 * *" verify --missed skip
  node-ctl schedule list
  node-ctl schedule rm 3
""",
)


@app.command()
def add(
    *,
    words: Annotated[
        str,
        typer.Argument(
            metavar="WHEN",
            help='A time ("every night at 2:30"), a window ("weekdays 23:00-07:00"), or cron ("30 2 * * *").',
        ),
    ],
    action: Annotated[
        Literal["start", "stop", "swap", "downloads", "gc", "verify", "prove"],
        typer.Argument(metavar="ACTION", help="start, stop, swap, downloads, gc, verify or prove."),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of launches, as listed by ps; of models, for verify."),
    ] = None,
    missed: Annotated[
        Literal["run", "skip"],
        typer.Option(
            "--missed", help="What becomes of a time at which the machine was off: run it later, or skip."
        ),
    ] = "run",
    free: Annotated[
        int | None,
        typer.Option(
            "--free", metavar="SIZE", parser=size, help="For gc: what is to be free, for example 200GB."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a schedule. Times are those of this machine's clock and time zone.

    start, stop: launches; at the end of a window the opposite is done. swap A B: stop A, then start B;
    back at the end of a window. downloads: pulls run only in these windows. gc: remove the least recently
    used weights, never pinned ones, until --free is free. verify: check the digests of all weights, or of
    those named. prove: fill the context of launches.

    A time that the clocks leave out in spring comes with the change; one that comes twice in autumn counts
    once. What was missed is done once, when the daemon is back, or with --missed skip not at all.
    """
    body: dict[str, object] = {"words": words, "action": action, "names": names or [], "missed": missed}
    if free is not None:
        body["free_bytes"] = free
    row = connect().post("/v1/schedules", body)
    if as_json:
        print_json(row)
        return
    added = decode(ScheduleRow, row)
    print(f"schedule {added.id}: {_what(added)}, next {_local(added.next)}")


@app.command("list")
def list_schedules(*, as_json: Json = False) -> None:
    """List schedules with their next time, the last one, and its result.

    With --json: [{"id", "action", "names", "words", "begin", "end", "missed", "free_bytes", "next",
    "is_open", "last": {"at", "result", "failed"}}]; begin and end are cron expressions.
    """
    rows = connect().get("/v1/schedules")
    if as_json:
        print_json(rows)
        return
    if not rows:
        print('no schedules: node-ctl schedule add "every night at 2:30" swap A B makes one')
        return
    found = [decode(ScheduleRow, row) for row in rows]
    cells = [
        {
            "ID": str(row.id),
            "WHAT": sanitize(_what(row)),
            "WHEN": sanitize(row.words),
            "NEXT": _local(row.next),
        }
        for row in found
    ]
    for row, lines in zip([None, *found], table(cells, tuple(cells[0]), columns()), strict=True):
        print("\n".join(lines))
        if row is not None and row.last is not None:
            state = "failed: " if row.last.failed else ""
            result = "runs" if row.last.result is None else state + sanitize(row.last.result)
            print("\n".join(wrap([f"    {_local(row.last.at)}: {result}"], columns(), indent=6)))


@app.command()
def rm(
    *, number: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number.")], as_json: Json = False
) -> None:
    """Remove a schedule. What of it runs now, goes on."""
    row = connect().post(f"/v1/schedules/{number}/remove")
    if as_json:
        print_json(row)
        return
    removed = decode(ScheduleRow, row)
    print(f"schedule {removed.id} is removed: {_what(removed)}, {sanitize(removed.words)}")


def _what(row: ScheduleRow) -> str:
    return " ".join((row.action.value, *row.names))


def _local(moment: str | None) -> str:
    """By the clock of who asks."""
    if moment is None:
        return "never"
    return datetime.fromisoformat(moment).astimezone().strftime("%a %Y-%m-%d %H:%M")
