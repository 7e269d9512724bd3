"""``node-ctl``: the list of commands, and the place where errors become messages and exit statuses.

Each command is a module that is imported when it runs, so that ``--help`` stays quick.
"""

import os
import sys
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ctl import encoding, output
from ctl.command_group import CommandGroup, unknown
from ctl.exit_codes import DONE, FAILED, INTERRUPTED, exit_status
from domain.errors import NodeError

COMMANDS = {
    "launch": "Plan, download, start and keep serving a model.",
    "run": "Launch a model, then ask it or chat with it.",
    "ps": "List launches and their state.",
    "top": "Watch models, memory, heat and events.",
    "history": "Chart heat, power, memory, tokens and energy over time.",
    "show": "Show a launch or a model in full.",
    "ask": "Ask a served model one question.",
    "chat": "Chat with a served model.",
    "connect": "Show or write what a client needs to use the models here.",
    "start": "Serve stopped launches again, as they were.",
    "stop": "Stop serving models.",
    "restart": "Stop the engines of launches and start them again.",
    "prove": "Fill the context of a launch, and measure its speed there.",
    "logs": "Print the log of a launch's engine.",
    "events": "Print events: launches, crashes, restarts.",
    "search": "Search the hub for models that llama.cpp or vLLM can load.",
    "catalogue": "List the models that have an alias, and what is known of them.",
    "plan": "Show the best engine command for a model, before the download.",
    "compare": "Compare machines by how well they would serve a model.",
    "estimate": "Show the memory and speed of an exact engine command.",
    "pull": "Download a model's weights without launching it.",
    "models": "List downloaded weights; also: list, ls.",
    "pin": "Protect weights from removal by gc.",
    "unpin": "Allow gc to remove weights again.",
    "rm": "Remove weights from this disk.",
    "gc": "Free disk space by removing the least recently used weights.",
    "verify": "Check the digests of downloaded weights.",
    "adopt": "Use the GGUF files of Ollama and LM Studio in place.",
    "probe": "Show this machine's hardware and engines.",
    "engines": "List the builds of llama.cpp and vLLM on this machine.",
    "doctor": "Check machine and daemon: what is wrong, why, how to fix it.",
    "status": "Is all well? What happened, and what to do.",
    "schedule": "Start, stop, swap, download and check models at set times.",
    "notify": "List and test where messages about this machine go.",
    "keys": "Make, list and revoke the keys of clients on other machines.",
    "lan": "Open the gateway to the local network, or close it.",
    "config": "Check the settings file, or show the settings in force.",
    "shutdown": "Stop the daemon and its engines.",
    "service": "Install, remove or inspect the system service.",
    "completion": "Print a shell completion script.",
}
ALIASES = {"list": "models", "ls": "models"}  # as Ollama and docker call it
MODULES = {name: f"ctl.commands.{name}" for name in COMMANDS} | {"service": "ctl.service"}

ROOT_EXAMPLES = """
  node-ctl launch smollm2-135m
  node-ctl ask smollm2-135m "Name the capital of France."
  node-ctl plan gpt-oss-120b --explain
"""


def _epilog(examples: str) -> str:
    """Examples as a paragraph that is not wrapped."""
    return "\b\nExamples:\n" + examples.strip("\n")  # \b: click does not wrap this paragraph


class _Command(TyperCommand):
    """A command with a usage line of its own: the generated one can't show "[NAME] QUESTION"."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        del ctx
        return [self.options_metavar or ""]


def _load(name: str) -> Any:
    """The command of a module: its ``app``, or its ``command`` with ``USAGE`` and ``EXAMPLES``."""
    module = import_module(MODULES[name])
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        text = "\n\n".join(part for part in (COMMANDS[name], getdoc(module.command)) if part)
        app.command(
            name, cls=_Command, help=text, epilog=_epilog(module.EXAMPLES), options_metavar=module.USAGE
        )(module.command)
    command = typer.main.get_command(app)
    command.name = name
    return command


class Commands(CommandGroup):
    """Lists every command with its summary; imports only the one that is called."""

    other_names = tuple(ALIASES)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary, rich_markup_mode=None))

    def get_params(self, ctx: Any) -> list[Any]:
        """Without typer's options to install a completion: ``node-ctl completion`` does it."""
        return [param for param in super().get_params(ctx) if not str(param.name).endswith("_completion")]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, [ALIASES.get(args[0], args[0]), *args[1:]])
        return name, _load(name) if name else listed, rest


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_epilog(ROOT_EXAMPLES),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads the disk

        print(f"node-ctl {version('node-daemon')}")
        raise typer.Exit(DONE)


@app.callback()
def options(
    socket: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Socket of the daemon.", envvar="NODE_DAEMON_SOCKET"),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Plan, launch and keep alive local language models on this machine.

    Every command but completion takes --json. Exit status: 0 done, 1 failed, 2 bad usage, 3 unknown model,
    4 does not fit, 5 daemon not reachable, 6 engine failed, 7 download failed.
    """
    if socket:
        os.environ["NODE_DAEMON_SOCKET"] = socket  # also for a daemon that this command may start


def run() -> None:
    """The console script ``node-ctl``."""
    output.guard()
    encoding.never_fail()
    args = sys.argv[1:] or ["--help"]
    sys.exit(main(args))


def main(args: list[str]) -> int:
    """Runs one command; its exit status. Errors go to standard error, with --json also to standard output."""
    try:
        status = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `node-ctl logs | head`
        output.give_up()
        return FAILED
    except output.OutputError as error:
        output.give_up()
        return _report(error.code, str(error), error.hint, [])
    return status


def _run(args: list[str]) -> int:
    try:
        status = app(args, prog_name="node-ctl", standalone_mode=False)
    except output.OutputError:
        raise
    except NodeError as error:
        more = getattr(error, "explanation", None)  # of an AnswerError
        return _report(
            error.code, str(error), error.hint, args, engine_output=error.engine_output, explanation=more
        )
    except typer.TyperException as error:
        if error.format_message().startswith("Usage:"):  # a group without a command
            print(error.format_message(), file=sys.stderr)
            return exit_status("bad_usage")
        message, hint = _bad_usage(error)
        return _report("bad_usage", message, hint, args)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return status if isinstance(status, int) else DONE


def _bad_usage(error: typer.TyperException) -> tuple[str, str]:
    """The message and the hint."""
    context = getattr(error, "ctx", None)
    if context is None:
        return error.format_message(), "see node-ctl --help"
    if hasattr(error, "possibilities"):  # of an option that there is not
        options = [name for param in context.command.get_params(context) for name in param.opts]
        long = [name for name in options if name.startswith("--")]
        missing = unknown("option", str(getattr(error, "option_name", "")), long, context.command_path)
        return str(missing), missing.hint
    return error.format_message(), f"see {context.command_path} --help"


def _report(
    code: str,
    message: str,
    hint: str,
    args: list[str],
    *,
    engine_output: str = "",
    explanation: object = None,
) -> int:
    from ctl.terminal import sanitize  # noqa: PLC0415 - --help does without

    if "--json" in args[: args.index("--") if "--" in args else None]:
        import json  # noqa: PLC0415 - only for --json

        error: dict[str, object] = {"code": code, "message": message, "hint": hint, "line": engine_output}
        if explanation is not None:
            error["explanation"] = explanation
        print(json.dumps({"error": error}, indent=2))
    output = engine_output if engine_output not in message else ""
    for label, text in (("node-ctl", message), ("engine output", output), ("hint", hint)):
        if text:
            shown = sanitize(f"{label}: {text}", to=sys.stderr)
            print(_one_below_the_other(shown) if label == "hint" else shown, file=sys.stderr)
    return exit_status(code)


def _one_below_the_other(hint: str) -> str:
    """Several ways out, on a terminal."""
    return hint.replace("; ", "\n      ") if sys.stderr.isatty() else hint


if __name__ == "__main__":
    run()
