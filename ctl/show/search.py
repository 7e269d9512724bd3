"""The table of search results, one line for each repository."""

from collections.abc import Sequence

from ctl.show.formatting import table
from domain.models.search_result import SearchResult
from domain.units import gib

HEADS = ("MODEL", "FORMAT", "DOWNLOADS", "PARAMETERS", "SIZE", "LICENCE", "ALIAS")
RIGHT_ALIGNED = frozenset({"DOWNLOADS", "PARAMETERS", "SIZE"})
DROPPED_FIRST = ("LICENCE", "FORMAT", "PARAMETERS", "DOWNLOADS", "ALIAS")


def table_lines(results: Sequence[SearchResult], width: int | None) -> list[str]:
    """With as many columns as fit."""
    rows = [dict(zip(HEADS, _cells(result), strict=True)) for result in results]
    lines = table(rows, HEADS, width, right=RIGHT_ALIGNED, dropped_first=DROPPED_FIRST)
    return [line for row in lines for line in row]


def _cells(result: SearchResult) -> tuple[str, ...]:
    gated = "gated" if result.gated else ""
    return (
        result.repo,
        "+".join(result.formats),
        format_count(result.downloads),
        format_count(result.parameters),
        gib(result.size_bytes) if result.size_bytes else "",
        ", ".join(word for word in (result.licence or "", gated) if word),
        result.alias or "",
    )


def format_count(count: int | None) -> str:
    """``8190735360`` -> ``8.2 B``, ``1234`` -> ``1.2 k``; empty where unknown."""
    if count is None:
        return ""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)
