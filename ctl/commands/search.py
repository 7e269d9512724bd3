"""``node-ctl search``."""

from typing import Annotated, Literal

import typer

from ctl.autostart import daemon_or_start
from ctl.options import Json
from ctl.show.formatting import shape
from ctl.show.search import lines
from ctl.terminal import harmless, print_json
from domain.errors import UsageError
from domain.search_result import SearchResult

USAGE = "WORDS... [OPTIONS]"
EXAMPLES = """
  node-ctl search qwen3 coder
  node-ctl search llama 3.3 70b --format gguf
  node-ctl search gpt-oss --limit 5 --json
"""
# Two questions, each of 10 s to connect and 10 s without a byte at most.
ANSWER_TIMEOUT_S = 60.0


def command(
    *,
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help="Words that the repository's name must hold.")
    ],
    kind: Annotated[
        Literal["gguf", "safetensors"] | None,
        typer.Option("--format", metavar="FORMAT", help="Only gguf (llama.cpp) or safetensors (vLLM)."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100, help="The most to list.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Asks the hub, or the mirror that HF_ENDPOINT names. The most downloaded come first."""
    asked = " ".join(words).strip()
    if not asked:
        raise UsageError("there is nothing to search for", hint="node-ctl search WORDS")
    body = {"words": asked, "limit": limit, "formats": [kind] if kind else []}
    data = daemon_or_start().post("/v1/search", body, timeout_s=ANSWER_TIMEOUT_S)
    if as_json:
        print_json(data)
        return
    found = [shape(SearchResult, row) for row in data]
    if not found:
        print(harmless(f"the hub has no model for {asked!r}: try fewer words"))
        return
    print(harmless("\n".join([*lines(found), "", "node-ctl plan MODEL tells what one would take here"])))
