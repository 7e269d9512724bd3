"""How progress is shown: lines for scripts and pipes, a moving list on a terminal."""

import sys

from ctl.show.progress import PlainSteps, Steps
from ctl.terminal import console, is_terminal


def steps_for(*, as_json: bool) -> Steps:
    """With --json on standard error: standard output is the answer's alone."""
    if as_json:
        return PlainSteps(to=sys.stderr)
    if not is_terminal():
        return PlainSteps()
    from ctl.show.live_progress import LiveSteps  # noqa: PLC0415 - rich is for terminals alone

    return LiveSteps(console())
