"""Names that no command or option has: errors in the words of those for models and launches."""

from collections.abc import Iterable
from typing import Any

from typer.core import TyperGroup

from domain.errors import UsageError


class CommandGroup(TyperGroup):
    other_names: tuple[str, ...] = ()  # of its commands, which suggestions count

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Raises: UsageError with the commands that are near, if any is."""
        if args and args[0] not in self.commands:
            raise unknown("command", args[0], (*self.commands, *self.other_names), ctx.command_path)
        return super().resolve_command(ctx, args)


def unknown(what: str, given: str, names: Iterable[str], path: str) -> UsageError:
    """``path`` is the command that has ``names``: ``node-ctl service``."""
    from domain.suggestions import did_you_mean  # noqa: PLC0415 - imports difflib, which no command needs

    group = path.partition(" ")[2]
    of = f" of {group}" if group else ""
    hint = did_you_mean(given, names, otherwise=f"{path} --help lists them")
    return UsageError(f"no {what}{of} is called {given!r}", hint=hint)
