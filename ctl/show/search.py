"""What a search found, a line for each repository."""

from collections.abc import Sequence

from domain.search_result import SearchResult
from domain.units import gib

HEADS = ("MODEL", "FORMAT", "DOWNLOADS", "PARAMETERS", "SIZE", "LICENCE", "ALIAS")
FIGURES = frozenset({"DOWNLOADS", "PARAMETERS", "SIZE"})


def lines(found: Sequence[SearchResult]) -> list[str]:
    rows = [HEADS, *(_cells(one) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def _cells(one: SearchResult) -> tuple[str, ...]:
    gated = "gated" if one.gated else ""
    return (
        one.repo,
        "+".join(one.formats),
        counted(one.downloads),
        counted(one.parameters),
        gib(one.size_bytes) if one.size_bytes else "",
        ", ".join(word for word in (one.licence or "", gated) if word),
        one.alias or "",
    )


def counted(count: int | None) -> str:
    """``8190735360`` -> ``8.2 B``, ``1234`` -> ``1.2 k``; empty where not known."""
    if count is None:
        return ""
    for unit, of in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return str(count)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (
        cell.rjust(width) if head in FIGURES else cell.ljust(width)
        for head, cell, width in zip(HEADS, row, widths, strict=True)
    )
    return "  ".join(cells).rstrip()
