"""Is the settings file valid, and is it the one in use?"""

from daemon.doctor.checks.finding import Finding, error, ok, warning
from daemon.doctor.checks.input import DoctorInput

FIX = "node-ctl config check shows all problems; correct the file, then restart the daemon"


def check(inputs: DoctorInput) -> tuple[Finding, ...]:
    if inputs.rejected_settings:
        return (
            error(
                f"the settings file was not used: {_first(inputs.rejected_settings)}",
                why="the daemon runs with the settings of the last start at which the file was valid",
                fix=FIX,
            ),
        )
    if inputs.settings_problems:
        return (
            warning(
                _first(inputs.settings_problems),
                why="the daemon started before this was written; its next start will not use the file",
                fix=FIX,
            ),
        )
    return ok("the settings are valid")


def _first(problems: tuple[str, ...]) -> str:
    more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more)"
    return f"{problems[0]}{more}"
