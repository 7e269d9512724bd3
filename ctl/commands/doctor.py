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
  node-ctl doctor --check groups           # run one check again after a fix
  node-ctl doctor --hub                    # also check the hub
  node-ctl doctor --report report.md       # for a bug report, without names, serial numbers and secrets
"""

Check = Annotated[str | None, typer.Option("--check", metavar="NAME", help="Run only this check.")]
Hub = Annotated[bool, typer.Option("--hub", help="Also check whether the model hub can be reached.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Also write a report for a bug report.")
]


def command(*, check: Check = None, hub: Hub = False, report: Report = None, as_json: Json = False) -> None:
    """Exit status 1 if a check found an error, 0 for warnings and checks without a result.

    Without a daemon the checks run as your user. docs/doctor.md lists all checks.
    With --json: [{"check", "status": "ok|not_known|warning|error", "found", "why", "fix", "recheck"}].
    """
    from ctl import files, offline_doctor  # noqa: PLC0415 - --help does without them

    if report is not None:
        files.check_writable(report, lambda text: text.startswith(offline_doctor.HEAD), "report")
        if check is not None:
            raise typer.BadParameter("a report contains all checks: leave out --check or --report")
    findings, text = offline_doctor.examine(check=check, hub=hub, report=report is not None)
    if report is not None and text is not None:
        files.write(report, text)
        note(f"wrote {report}: read it before you share it")
    _show(findings, check, hub=hub, as_json=as_json)
    if any(finding["status"] == "error" for finding in findings):
        raise typer.Exit(FAILED)


def _show(findings: list[dict[str, Any]], check: str | None, *, hub: bool, as_json: bool) -> None:
    if as_json:
        print_json(findings)
        return
    from ctl.show.findings import draw  # noqa: PLC0415 - --json does without rich

    draw(findings, check, hub=hub)
