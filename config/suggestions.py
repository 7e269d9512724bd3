"""Hints for a misspelled name."""

import difflib
from collections.abc import Iterable

MAX_SUGGESTIONS = 3
MIN_SIMILARITY = 0.6  # of 1, difflib's ratio: dgx-spork has 0.89 with dgx-spark, below 0.5 with any other box


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """A hint with the three most similar of ``choices``; if none is similar, with all of them."""
    choices = list(choices)
    similar = difflib.get_close_matches(name, choices, n=MAX_SUGGESTIONS, cutoff=MIN_SIMILARITY)
    return f"did you mean {', '.join(similar)}?" if similar else f"there are {', '.join(choices)}"
