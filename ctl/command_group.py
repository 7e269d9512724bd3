"""A group of commands: the error for a name that none of them has."""

from typing import Any

from typer.core import TyperGroup

from domain.errors import UsageError


class CommandGroup(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Raises: UsageError with the commands that are near, if any is."""
        if args and args[0] not in self.commands:
            from domain.suggestions import did_you_mean  # noqa: PLC0415 - imports difflib, which no command needs

            hint = did_you_mean(args[0], self.commands, otherwise=f"{ctx.command_path} --help lists them")
            raise UsageError(f"{ctx.command_path} has no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)
