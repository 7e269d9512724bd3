"""What was probably meant."""

import difflib
from collections.abc import Iterable

NEAREST = 3
LIKE = 0.6  # of 1, difflib's own measure: dgx-spork is 0.89 of dgx-spark, and less than half of any other box


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint with the three nearest of ``names``; where none is near, all that there are."""
    every = list(names)
    near = difflib.get_close_matches(name, every, n=NEAREST, cutoff=LIKE)
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(every)}"
