"""``node-ctl search``."""

from typing import Annotated, Literal

import typer

from ctl.autostart import connect_or_start
from ctl.options import Json
from ctl.show.formatting import decode
from ctl.show.search import table_lines
from ctl.terminal import columns, print_json, sanitize
from domain.errors import UsageError
from domain.models.search_result import SearchResult

USAGE = "WORDS... [OPTIONS]"
EXAMPLES = """
  node-ctl search qwen3 coder
  node-ctl search llama 3.3 70b --format gguf
  node-ctl search gpt-oss --limit 5 --json
"""
# Two requests, each with at most 10 s to connect and 10 s without a byte.
ANSWER_TIMEOUT_S = 60.0


def command(
    *,
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help="Words that the repository's name must contain.")
    ],
    kind: Annotated[
        Literal["gguf", "safetensors"] | None,
        typer.Option("--format", metavar="FORMAT", help="Only gguf (llama.cpp) or safetensors (vLLM)."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100, help="Maximum number of results.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Asks the hub, or the mirror in HF_ENDPOINT. The most downloaded models come first."""
    query = " ".join(words).strip()
    if not query:
        raise UsageError("the search is empty", hint="node-ctl search WORDS")
    body = {"words": query, "limit": limit, "formats": [kind] if kind else []}
    data = connect_or_start().post("/v1/search", body, timeout_s=ANSWER_TIMEOUT_S)
    if as_json:
        print_json(data)
        return
    results = [decode(SearchResult, row) for row in data]
    if not results:
        print(sanitize(f"no model on the hub matches {query!r}: try fewer words"))
        return
    lines = [*table_lines(results, columns()), "", "node-ctl plan MODEL shows what one would need here"]
    print(sanitize("\n".join(lines)))
