"""Redacts credentials from the URLs in a text."""

import re

_URL = re.compile(
    r"(?P<scheme>https?://)(?:[^\s/?#@]*@)*(?P<rest>[^\s?#'\"<>]*)(?P<query>[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """``text`` with its URLs stripped of userinfo, query and fragment; ``?...`` replaces the latter two."""
    return _URL.sub(lambda url: f"{url['scheme']}{url['rest']}{'?...' if url['query'] else ''}", text)
