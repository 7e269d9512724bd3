"""``node-ctl ask``."""

from typing import Annotated

import typer

from ctl import completion
from ctl.autostart import connect
from ctl.chat.answer import Sampling
from ctl.chat.ask import answer
from ctl.chat.served import find_served
from ctl.chat.standard_input import is_piped, read_text
from ctl.client import Daemon
from ctl.options import Json
from ctl.show.launches import decode_rows
from domain.errors import UsageError

USAGE = "[NAME] QUESTION|- [OPTIONS]"
EXAMPLES = """
  node-ctl ask smollm2-135m "Name the capital of France."
  node-ctl ask "Name the capital of France."    # where one model is ready
  node-ctl ask assistant "Summarise this." < report.txt
  git diff | node-ctl ask assistant -           # the question itself is standard input
  node-ctl ask assistant "Name ten rivers." --max-tokens 200 --json
"""
HINT = 'node-ctl ask NAME "question"'


def command(
    *,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] QUESTION",
            help="The launch (not needed if only one is ready), and the question in quotes.",
            autocompletion=completion.launches,
        ),
    ],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="Maximum length of the answer.")
    ] = 512,
    temperature: Annotated[
        float,
        typer.Option("--temperature", metavar="X", min=0, help="Sampling temperature; 0 is deterministic."),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Streams the answer, then prints the tokens per second. A pipe or a file on standard input, of at most
    4 MiB, comes before the question.
    """
    if len(words) > 2:
        raise UsageError(
            f"expected a name and a question, found {len(words)} words", hint="put the question in quotes"
        )
    if not words[-1].strip():
        raise UsageError("the question is empty", hint=HINT)
    daemon = connect()
    name, question = _parse(words, daemon)
    row = find_served(daemon, name, usage=HINT)
    text = read_text() if question in (None, "-") or is_piped() else ""
    asked = "\n\n".join(part for part in (text, question) if part and part != "-")
    if not asked.strip():
        raise UsageError("the question on standard input is empty", hint=HINT)
    answer(row, asked, Sampling(max_tokens, temperature), as_json=as_json)


def _parse(words: list[str], daemon: Daemon) -> tuple[str | None, str | None]:
    """The name and the question; ``None`` for one that is not given. Raises: UsageError."""
    if len(words) == 2:
        return words[0], words[1]
    if words[0] == "-" or words[0] not in {row.name for row in decode_rows(daemon.get("/v1/launches"))}:
        return None, words[0]
    if not is_piped():
        raise UsageError(f"the question to {words[0]} is missing", hint=f'node-ctl ask {words[0]} "question"')
    return words[0], None
