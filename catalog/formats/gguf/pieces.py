"""Pieces of a GGUF file that was cut by bytes, as ``split`` does it: no engine loads one as it is."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from domain.errors import BadModelError

# x.gguf.part1of2, x.gguf.part-01, x.gguf-part-b, x.gguf-split-a, x.gguf.aa, x.gguf.001
_PIECE = re.compile(
    r"\A(?P<whole>.+\.gguf)[.-](?:split-[a-z]{1,2}|\d{2,4}|[a-d][a-z]"
    r"|part[-_.]?(?:(?P<number>\d{1,4})of(?P<count>\d{1,4})|\d{1,4}|[a-z]{1,2}))",
    re.IGNORECASE | re.ASCII,
)
SHOWN = 3
JOINED = 24  # pieces in one command


def pieces_by_file(names: Iterable[str]) -> dict[str, list[str]]:
    """The pieces of each file that is cut, in order: ``part10of11`` comes after ``part2of11``."""
    pieces: dict[str, list[str]] = {}
    for name in sorted(names, key=_by_number):
        if match := _PIECE.fullmatch(name):
            pieces.setdefault(match["whole"], []).append(name)
    return pieces


def _by_number(name: str) -> list[tuple[bool, int, str]]:
    """Digits count as a number; before text, as in ASCII."""
    parts = re.split(r"(\d{1,9})", name, flags=re.ASCII)
    return [(False, int(part), "") if number % 2 else (True, 0, part) for number, part in enumerate(parts)]


def cut_error(location: str, pieces: Mapping[str, Sequence[str]]) -> BadModelError:
    """For a repository or folder that has the model in pieces alone."""
    whole, parts = next(iter(pieces.items()))
    shown = f"{', '.join(parts[:SHOWN])}{', ...' if len(parts) > SHOWN else ''}"
    others = f", and {len(pieces) - 1} more such files" if len(pieces) > 1 else ""
    missing = _missing(parts)
    lacks = f", and lacks {missing}" if missing else ""
    return BadModelError(
        f"{location} holds {whole} cut by bytes into {len(parts)} pieces ({shown}){lacks}{others}: "
        "no engine loads a piece",
        hint="name a repository with whole files" if missing else _how_to_join(whole, parts),
    )


def _missing(parts: Sequence[str]) -> str:
    """``part 2 of 3``; empty where none is, or where names don't tell how many there are."""
    matches = [match for part in parts if (match := _PIECE.fullmatch(part)) and match["count"]]
    counts = {int(match["count"]) for match in matches}
    if len(matches) < len(parts) or len(counts) != 1:
        return ""
    (count,), numbers = counts, {int(match["number"]) for match in matches}
    lacking = [str(number) for number in range(1, count + 1) if number not in numbers]
    more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    return f"part {', '.join(lacking[:SHOWN])}{more} of {count}" if lacking else ""


def _how_to_join(whole: str, parts: Sequence[str]) -> str:
    command = f"cat {shlex.join(parts)} > {shlex.quote(whole)}"
    join = (
        f"join them: {command}"
        if len(parts) <= JOINED
        else "join them with cat in the order of their numbers"
    )
    return f"download the pieces and {join}; then name that file, or name a repository with whole files"
