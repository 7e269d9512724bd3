"""What was probably meant."""

import difflib
from collections.abc import Iterable

NEAREST = 3


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint with the three nearest of ``names``, empty where there are none."""
    near = difflib.get_close_matches(name, list(names), n=NEAREST, cutoff=0.0)
    return f"did you mean {', '.join(near)}?" if near else ""
