"""Pieces of a GGUF file that was cut by bytes, as ``split`` does it: no engine loads one as it is."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from domain.errors import BadModelError

# x.gguf.part1of2, x.gguf.part-01, x.gguf-part-b, x.gguf-split-a, x.gguf.aa, x.gguf.001
_PIECE = re.compile(
    r"\A(?P<whole>.+\.gguf)[.-](?:split-[a-z]{1,2}|part[-_.]?(?:\d{1,4}of\d{1,4}|\d{1,4}|[a-z]{1,2})|\d{2,4}|[a-d][a-z])",
    re.IGNORECASE | re.ASCII,
)
SHOWN = 3


def pieces_by_file(names: Iterable[str]) -> dict[str, list[str]]:
    """The pieces of each file that is cut, in order."""
    pieces: dict[str, list[str]] = {}
    for name in sorted(names):
        if match := _PIECE.fullmatch(name):
            pieces.setdefault(match["whole"], []).append(name)
    return pieces


def cut_error(location: str, pieces: Mapping[str, Sequence[str]]) -> BadModelError:
    """For a repository or folder that has the model in pieces alone."""
    whole, parts = next(iter(pieces.items()))
    more = ", ..." if len(parts) > SHOWN else ""
    others = f", and {len(pieces) - 1} more such files" if len(pieces) > 1 else ""
    join = f"cat {shlex.join(parts[:SHOWN])}{' ...' if more else ''} > {shlex.quote(whole)}"
    return BadModelError(
        f"{location} holds {whole} cut by bytes into {len(parts)} pieces "
        f"({', '.join(parts[:SHOWN])}{more}){others}: no engine loads a piece",
        hint=f"download the pieces and join them: {join}; then name that file, or name a repository with "
        "whole files",
    )
