"""Addresses as they may be shown: a name and password, a signature or a token in one open doors."""

import re

_URL = re.compile(
    r"(?P<scheme>https?://)(?:[^\s/?#@]*@)*(?P<rest>[^\s?#'\"<>]*)(?P<query>[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """``text`` with each URL in it short of userinfo, query and fragment; ``?...`` tells of one."""
    return _URL.sub(lambda url: f"{url['scheme']}{url['rest']}{'?...' if url['query'] else ''}", text)
