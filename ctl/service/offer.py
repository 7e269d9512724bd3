"""Whether the installation takes over what the user who called sudo has, and what it did."""

import sys

import typer

from ctl.service.steps import Target
from ctl.service.takeover import TakeOver, survey
from ctl.terminal import note
from domain.errors import UsageError

HOW = "sudo node-ctl service install --now --take-over"


def choose(
    member: str | None, *, wanted: bool | None, now: bool, may_ask: bool, target: Target
) -> TakeOver | None:
    """``None`` where nothing is to be taken over, which a line on standard error says if there was something.

    ``wanted`` is the option; ``None``: ask, if ``may_ask`` and there is a terminal. Raises: UsageError."""
    if wanted and not now:
        raise UsageError("--take-over needs --now: launches that are taken over are served at once", hint=HOW)
    if wanted and (member in (None, "root") or not target.running):
        raise UsageError("--take-over takes over from the user who calls sudo, and there is none", hint=HOW)
    if wanted is False or member is None or member == "root" or not target.running:
        return None
    found = survey(member)
    if found.is_empty:
        return None
    if wanted:
        return found
    if now and may_ask and sys.stdin.isatty():
        note(f"{member} has {found.summary}")
        if _confirmed():
            return found
    note(f"left with {member}: {found.summary}; to let the service serve them: {HOW}")
    return None


def _confirmed() -> bool:
    """Raises: typer.Abort for Ctrl-C and the end of the input."""
    try:
        return typer.confirm(
            "Stop the node-daemon of this user, and let the service serve them?", default=True
        )
    except typer.Abort:
        note("\nnothing was installed or taken over")
        raise


def lines(taken: TakeOver) -> list[str]:
    return [
        *(f"taken over from {taken.user}: {what}" for what in taken.taken),
        *(f"left with {taken.user}: {what}: {why}" for what, why in taken.left),
    ]


def as_row(taken: TakeOver) -> dict[str, object]:
    """For JSON."""
    left = [{"what": what, "why": why} for what, why in taken.left]
    return {"user": taken.user, "taken": taken.taken, "left": left}
