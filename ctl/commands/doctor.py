"""``node-ctl doctor``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ctl.exit_codes import FAILED
from ctl.options import Json
from ctl.terminal import note, print_json

USAGE = "[OPTIONS]"
EXAMPLES = """
  node-ctl doctor
  node-ctl doctor --check groups           # this one again, once it is fixed
  node-ctl doctor --hub                    # ask the hub, too
  node-ctl doctor --report report.md       # for a bug report: no names, no serial numbers, no secrets
"""

Check = Annotated[
    str | None, typer.Option("--check", metavar="NAME", help="Run one check alone, once more after a fix.")
]
Hub = Annotated[bool, typer.Option("--hub", help="Ask the model hub whether it can be reached, too.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write all that a bug report needs, too.")
]


def command(*, check: Check = None, hub: Hub = False, report: Report = None, as_json: Json = False) -> None:
    """Exit status 1 if a check found an error; 0 with warnings alone, and where a check can't know.

    Works where no daemon answers, too: then it looks as you. docs/doctor.md lists all checks.
    With --json: [{"check", "status": "ok|not_known|warning|error", "found", "why", "fix", "recheck"}].
    """
    from ctl import files, offline_doctor  # noqa: PLC0415 - --help does without them

    if report is not None:
        files.writable(report, lambda text: text.startswith(offline_doctor.HEAD), "report")
        if check is not None:
            raise typer.BadParameter("a report holds all checks: leave out --check or --report")
    found, text = offline_doctor.ask(check=check, hub=hub, report=report is not None)
    if report is not None and text is not None:
        files.write(report, text)
        note(f"wrote {report}: read it before you show it to others")
    _show(found, check, as_json=as_json)
    if any(one["status"] == "error" for one in found):
        raise typer.Exit(FAILED)


def _show(found: list[dict[str, Any]], check: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    from ctl.show.findings import draw  # noqa: PLC0415 - --json does without rich

    draw(found, check)
