"""What clients write into prompts that changes with each request and says nothing to a model. Data.

Each pattern is anchored at both ends or at the start of the text, and bounded: matching is linear.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """``PREFIX``: the beginning of the system prompt is removed. ``WHOLE``: a system message, or a block of
    a message, that is nothing else."""

    PREFIX = "prefix"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Rule:
    """``marker`` is in every body that the rule can match. ``source`` shows a client that sends it."""

    name: str
    client: str
    marker: bytes
    place: Place
    pattern: re.Pattern[str]
    source: str


RULES = (
    Rule(
        "attribution",
        "Claude Code",
        b"x-anthropic-billing-header:",
        Place.PREFIX,
        re.compile(r"x-anthropic-billing-header:(?: [a-z_]{1,32}=[^;\s]{0,128};){1,16}\n{0,2}"),
        "https://github.com/ggml-org/llama.cpp/pull/21793",
    ),
    Rule(
        "tokens-left",
        "Claude Code",
        b"<total_tokens>",
        Place.WHOLE,
        re.compile(r"\s{0,8}<total_tokens>\d{1,12} tokens left</total_tokens>\s{0,8}"),
        "https://github.com/ollama/ollama/pull/17918",
    ),
)
