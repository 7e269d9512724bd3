"""``node-ctl notify``: where notifications go, and whether they arrive."""

from datetime import datetime
from typing import Annotated

import typer

from ctl.autostart import connect
from ctl.command_group import CommandGroup
from ctl.exit_codes import DONE, FAILED
from ctl.options import Json
from ctl.show.formatting import decode, table, wrap
from ctl.terminal import columns, print_json, sanitize
from domain.notifications import Delivery, TargetRow
from domain.units import counted

TEST_TIMEOUT_S = 600.0  # of twenty targets that all hang

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List where notifications go, and send a message to test that they arrive.",
    epilog="""\b
Examples:
  node-ctl notify list
  node-ctl notify test
  node-ctl notify test phone
""",
)


@app.command("list")
def list_targets(*, as_json: Json = False) -> None:
    """List the targets of the file notify.toml. URLs hold secrets, and are shown without them.

    With --json: {"file", "targets": [{"name", "url", "level", "kinds", "quiet", "digest", "waiting",
    "last_sent", "problem"}]}; "waiting" events are not sent yet.
    """
    found = connect().get("/v1/notifications")
    if as_json:
        print_json(found)
        return
    rows = [decode(TargetRow, row) for row in found["targets"]]
    if not rows:
        print(
            sanitize(
                f"nothing is sent: {found['file']} has no targets (docs/notifications.md has an example)"
            )
        )
        return
    cells = [
        {
            "NAME": row.name,
            "URL": sanitize(row.url),
            "EVENTS": _events(row),
            "WHEN": sanitize(_when(row)),
            "SENT": _local(row.last_sent),
            "WAIT": str(row.waiting),
        }
        for row in rows
    ]
    for row, lines in zip([None, *rows], table(cells, tuple(cells[0]), columns()), strict=True):
        print("\n".join(lines))
        if row is not None and row.problem is not None:
            print("\n".join(wrap([f"    failed: {sanitize(row.problem)}"], columns(), indent=6)))


@app.command("test")
def send_test(
    *,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="The name of a target; default: all of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a message to a target, or to all, and say what came of each.

    Exit status 1 if one was not sent. With --json: [{"name", "url", "sent", "seconds", "reason"}].
    """
    body: dict[str, object] = {} if target is None else {"target": target}
    answer = connect().post("/v1/notifications/test", body, timeout_s=TEST_TIMEOUT_S)
    results = [decode(Delivery, row) for row in answer]
    if as_json:
        print_json(answer)
    else:
        for result in results:
            what = f"sent in {result.seconds:.1f} s" if result.sent else f"not sent: {result.reason}"
            print(sanitize(f"{result.name} ({result.url}): {what}"))
    raise typer.Exit(DONE if all(result.sent for result in results) else FAILED)


def _events(row: TargetRow) -> str:
    levels = {"error": "errors", "warning": "warnings and errors", "info": "all"}
    parts = [] if row.level is None else [levels[row.level]]
    return ", ".join([*parts, *([counted(len(row.kinds), "kind")] if row.kinds else [])])


def _when(row: TargetRow) -> str:
    if row.digest is not None:
        return f"digest {row.digest}"
    return "at once" if row.quiet is None else f"not {row.quiet}"


def _local(moment: str | None) -> str:
    return "never" if moment is None else datetime.fromisoformat(moment).astimezone().strftime("%a %H:%M")
