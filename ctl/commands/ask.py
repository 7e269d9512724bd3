"""``node-ctl ask``."""

from typing import Annotated

import typer

from ctl import completion
from ctl.autostart import connect
from ctl.chat import AnswerStats, Chat
from ctl.client import Daemon
from ctl.options import Json, launch_path
from ctl.show.formatting import decode
from ctl.show.launches import api_base, decode_rows
from ctl.terminal import note, print_json, sanitize
from domain.errors import NodeError, UnknownLaunchError, UsageError
from domain.launch import LaunchRow, LaunchState
from domain.units import rate

USAGE = "[NAME] QUESTION [OPTIONS]"
EXAMPLES = """
  node-ctl ask smollm2-135m "Name the capital of France."
  node-ctl ask "Name the capital of France."    # where one model is ready
  node-ctl ask helper "Name ten rivers." --max-tokens 200 --json
"""

PENDING = frozenset({LaunchState.QUEUED, LaunchState.DOWNLOADING, LaunchState.STARTING})
ANSWERING = frozenset({LaunchState.READY, LaunchState.DEGRADED})


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
    """Streams the answer, then prints the tokens per second."""
    if len(words) > 2:
        raise UsageError(
            f"expected a name and a question, found {len(words)} words", hint="put the question in quotes"
        )
    if not words[-1].strip():
        raise UsageError("the question is empty", hint='node-ctl ask NAME "question"')
    running = connect()
    if len(words) == 1 and words[0] in {row.name for row in decode_rows(running.get("/v1/launches"))}:
        raise UsageError(f"the question to {words[0]} is missing", hint=f'node-ctl ask {words[0]} "question"')
    row = _served(running, words[0] if len(words) == 2 else None)
    base = api_base(row.endpoint or "")
    chat = Chat(base, row.name, words[-1], max_tokens=max_tokens, temperature=temperature)
    if as_json:
        answer = "".join(chat)
        stats = chat.stats
        print_json(
            {
                "launch": row.name,
                "answer": answer,
                "tokens": stats.tokens,
                "tokens_per_s": stats.tokens_per_s,
                "finish_reason": stats.finish_reason,
            }
        )
        return
    for piece in chat:
        print(sanitize(piece), end="", flush=True)
    print(flush=True)
    note(_summary(chat.stats, max_tokens))


def _served(running: Daemon, name: str | None) -> LaunchRow:
    """The launch to ask: the named one, or the only one that is ready."""
    if name is None:
        rows = decode_rows(running.get("/v1/launches"))
        ready = [row for row in rows if row.state in ANSWERING and row.endpoint is not None]
        if len(ready) == 1:
            return ready[0]
        if ready:
            names = ", ".join(row.name for row in ready)
            raise UsageError(f"{len(ready)} models are ready: {names}", hint='node-ctl ask NAME "question"')
        raise UnknownLaunchError("no model is ready", hint="node-ctl launch MODEL, or see node-ctl ps")
    row = decode(LaunchRow, running.get(launch_path(name))["launch"])
    if row.state not in ANSWERING or row.endpoint is None:
        reason = f": {row.last_error}" if row.last_error else ""
        again = f"see node-ctl logs {name}, or launch it again"
        soon = "ask again when node-ctl ps shows it as ready"
        raise NodeError(f"{name} is {row.state}{reason}", hint=soon if row.state in PENDING else again)
    return row


def _summary(stats: AnswerStats, max_tokens: int) -> str:
    text = f"[{'?' if stats.tokens is None else stats.tokens} tokens, {rate(stats.tokens_per_s)} tokens/s"
    cut = f", cut off at {max_tokens}: see --max-tokens" if stats.finish_reason == "length" else ""
    return f"{text}{cut}]"
