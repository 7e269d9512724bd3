"""URLs of targets as they may be shown: they hold passwords, tokens, and topics as good as one. Pure."""

import re
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
# Schemes of apprise whose host is one: elsewhere the first part of the URL may be a token or a topic.
WITH_HOST = frozenset({"json", "jsons", "form", "forms", "xml", "xmls", "mailto", "mailtos"})
_URL = re.compile(r"\b[a-z][a-z0-9+-]*://\S*[^\s.,]", re.IGNORECASE)  # apprise leaves first and last letters
_BETWEEN = re.compile(r"[/:@?&=,;#+\s]+")
SHORTEST = 3  # characters of a part that is hidden: less would take letters out of words


def shown(url: str) -> str:
    """``ntfys://***``, ``mailtos://smtp.example.org/***``."""
    scheme, _, _ = url.partition("://")
    return f"{scheme}://{host}/{HIDDEN}" if (host := _host(url)) else f"{scheme}://{HIDDEN}"


def masked(text: str, url: str) -> str:
    """``text`` without any part of ``url`` but its scheme and a host that is one."""
    _, _, rest = url.partition("://")
    host = _host(url) or ""
    kept = {host, *host.split(":")}
    parts = {part for piece in _BETWEEN.split(rest) for part in (piece, unquote(piece))}
    parts |= {unquote(rest), rest} | {piece for part in parts for piece in _BETWEEN.split(part)}
    for part in sorted(parts - kept, key=len, reverse=True):
        if len(part) >= SHORTEST:
            text = re.sub(re.escape(part), HIDDEN, text, flags=re.IGNORECASE)
    return _URL.sub(shown(url), text)


def _host(url: str) -> str | None:
    """With its port; ``None`` where it may be a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in WITH_HOST or not host:
        return None
    return f"{host}:{port}" if port else host
