"""Which names may have been meant by one that does not exist, of whatever: models, settings, commands."""

import difflib
import re
from collections.abc import Iterable, Mapping

from domain.units import gib

MAX_SUGGESTIONS = 3
# Of 1, difflib's ratio: twice the characters that match, divided by the length of both. One wrong character
# of four passes; asdfqwer has 0.4 with the nearest alias of the catalogue.
MIN_SIMILARITY = 0.7
MIN_SIMILARITY_SHORT = 0.65  # of three characters one may be wrong
MIN_BEGINNING = 4  # characters; qwen3 is the beginning of qwen3-8b, q is nothing


def near(name: str, choices: Iterable[str]) -> tuple[str, ...]:
    """Of ``choices`` those that ``name`` goes on from, the longest first, then the most similar, then those
    that it begins; at most three, none where nothing is near. Case and punctuation are ignored:
    ``Llama3.1:8b`` is ``llama-3.1-8b``.

    Of paths and repositories the last part has to be near, too: an owner has many that are not.
    """
    if "/" in name:
        choices = [choice for choice in choices if "/" not in choice or near(_last(name), [_last(choice)])]
    by_key: dict[str, str] = {}
    for choice in choices:
        by_key.setdefault(_key(choice), choice)
    key = _key(name)
    cutoff = MIN_SIMILARITY if len(key) > 3 else MIN_SIMILARITY_SHORT
    similar = difflib.get_close_matches(key, list(by_key), n=MAX_SUGGESTIONS, cutoff=cutoff)
    related = [other for other in by_key if _is_beginning(key, other)]
    goes_on_from = sorted((other for other in related if len(other) < len(key)), key=len, reverse=True)
    found = dict.fromkeys((*goes_on_from, *similar, *related))
    return tuple(by_key[other] for other in found)[:MAX_SUGGESTIONS]


def did_you_mean(name: str, choices: Iterable[str], *, otherwise: str = "") -> str:
    """A hint with what is near; else ``otherwise``, or all of ``choices``."""
    choices = list(choices)
    if found := near(name, choices):
        return f"did you mean {', '.join(found)}?"
    there = "there is only" if len(choices) == 1 else "there are"
    return otherwise or f"{there} {', '.join(choices)}"


def quants_by_size(sizes_bytes: Mapping[str, int | None]) -> str:
    """``Q4_K_M (4.7 GiB), Q8_0 (8.1 GiB)``: the smallest first, those of unknown size last."""
    ordered = sorted(sizes_bytes.items(), key=lambda row: (not row[1], row[1] or 0, row[0]))
    return ", ".join(f"{quant} ({gib(size_bytes)})" if size_bytes else quant for quant, size_bytes in ordered)


def quant_hint(wanted: str, sizes_bytes: Mapping[str, int | None]) -> str:
    """All quants that there are, and first those that may have been meant."""
    found, listed = near(wanted, sizes_bytes), quants_by_size(sizes_bytes)
    return f"did you mean {', '.join(found)}? There are {listed}" if found else f"there are {listed}"


def _is_beginning(key: str, other: str) -> bool:
    short, long = sorted((key, other), key=len)
    return len(short) >= MIN_BEGINNING and long.startswith(short)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9./]", "", name.lower())
