"""Chooses how progress is shown: lines for scripts and pipes, a live list on a terminal."""

import sys

from ctl.show.progress import PlainView, ProgressView
from ctl.terminal import console, is_terminal


def choose_view(*, as_json: bool) -> ProgressView:
    """With --json on standard error, because standard output is for the answer."""
    if as_json:
        return PlainView(to=sys.stderr)
    if not is_terminal():
        return PlainView()
    from ctl.show.live_progress import LiveView  # noqa: PLC0415 - rich is only for terminals

    return LiveView(console())
