"""``node-ctl ask``."""

from typing import Annotated

import typer

from ctl import completion
from ctl.autostart import daemon
from ctl.chat import Answered, Chat
from ctl.client import Daemon
from ctl.options import Json, launch_path
from ctl.show.formatting import shape
from ctl.show.launches import api_base, rows_of
from ctl.terminal import harmless, note, print_json
from domain.errors import NodeError, UnknownLaunchError, UsageError
from domain.launch import LaunchRow, LaunchState
from domain.units import rate

USAGE = "[NAME] QUESTION [OPTIONS]"
EXAMPLES = """
  node-ctl ask smollm2-135m "Name the capital of France."
  node-ctl ask "Name the capital of France."    # where one model is ready
  node-ctl ask helper "Name ten rivers." --max-tokens 200 --json
"""

COMING = frozenset({LaunchState.QUEUED, LaunchState.DOWNLOADING, LaunchState.STARTING})
ANSWERING = frozenset({LaunchState.READY, LaunchState.DEGRADED})


def command(
    *,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] QUESTION",
            help="The launch, unless one alone is ready, and the question in quotes.",
            autocompletion=completion.launches,
        ),
    ],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, help="Where an answer is cut.")
    ] = 512,
    temperature: Annotated[
        float,
        typer.Option("--temperature", metavar="X", min=0, help="0: the same question, the same answer."),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Prints the answer as it comes, then the tokens per second."""
    if len(words) > 2:
        raise UsageError(f"a name and a question, not {len(words)} words", hint="put the question in quotes")
    if not words[-1].strip():
        raise UsageError("the question is empty", hint='node-ctl ask NAME "question"')
    running = daemon()
    if len(words) == 1 and words[0] in {row.name for row in rows_of(running.get("/v1/launches"))}:
        raise UsageError(f"what is {words[0]} asked?", hint=f'node-ctl ask {words[0]} "question"')
    row = _served(running, words[0] if len(words) == 2 else None)
    base = api_base(row.endpoint or "")
    chat = Chat(base, row.name, words[-1], max_tokens=max_tokens, temperature=temperature)
    if as_json:
        answer = "".join(chat)
        done = chat.answered
        print_json(
            {
                "launch": row.name,
                "answer": answer,
                "tokens": done.tokens,
                "tokens_per_s": done.tokens_per_s,
                "finish_reason": done.finish_reason,
            }
        )
        return
    for piece in chat:
        print(harmless(piece), end="", flush=True)
    print(flush=True)
    note(_figures(chat.answered, max_tokens))


def _served(running: Daemon, name: str | None) -> LaunchRow:
    """The launch to ask: the named one, or the only one that is ready."""
    if name is None:
        rows = rows_of(running.get("/v1/launches"))
        ready = [row for row in rows if row.state in ANSWERING and row.endpoint is not None]
        if len(ready) == 1:
            return ready[0]
        if ready:
            names = ", ".join(row.name for row in ready)
            raise UsageError(f"{len(ready)} models are ready: {names}", hint='node-ctl ask NAME "question"')
        raise UnknownLaunchError("no model is ready", hint="node-ctl launch MODEL, or see node-ctl ps")
    row = shape(LaunchRow, running.get(launch_path(name))["launch"])
    if row.state not in ANSWERING or row.endpoint is None:
        reason = f": {row.last_error}" if row.last_error else ""
        again = f"see node-ctl logs {name}, or launch it again"
        soon = "ask again once node-ctl ps says that it is ready"
        raise NodeError(f"{name} is {row.state}{reason}", hint=soon if row.state in COMING else again)
    return row


def _figures(done: Answered, max_tokens: int) -> str:
    words = f"[{'?' if done.tokens is None else done.tokens} tokens, {rate(done.tokens_per_s)} tokens/s"
    return words + (f", cut at {max_tokens}: see --max-tokens]" if done.finish_reason == "length" else "]")
