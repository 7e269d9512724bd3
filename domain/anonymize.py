"""Removes from a text what identifies a machine or a person, and secrets.

``probes/identifiers.py`` reads the identifiers of this machine, ``daemon/doctor/anonymize.py`` anonymizes a
whole ``Hardware``.
"""

import ipaddress
import re
from dataclasses import dataclass

_URL = re.compile(
    r"(?P<scheme>https?://)(?:[^\s/?#@]*@)*(?P<rest>[^\s?#'\"<>]*)(?P<query>[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)
_HOME = re.compile(r"(?<![\w.-])/(?:home|Users)/[^/\s'\":,;]+")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_MAC = re.compile(r"(?<![0-9a-f:])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![0-9a-f:])", re.IGNORECASE)
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"
_IPV6 = r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:]|\.\d)"
_ADDRESS = re.compile(rf"(?<![\w.:-])(?:{_IPV4}|{_IPV6})", re.IGNORECASE)
_SERIAL = re.compile(
    r"(?i)\b(serial(?:[ _-]?(?:number|no))?|unique[ _-]?id)\b(['\"]?\s*[:=]\s*['\"]?)([\w-]{4,})"
)
# Tokens by their vendors' formats, and the values of keys with such names
_TOKEN = re.compile(r"\b(?:hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{8,}|(?<=Bearer )\S+")
_SECRET_KEY = re.compile(
    r"(?i)((?:api[_-]?key|token|password|passwd|secret)['\"]?(?:\s*[:=]\s*|\s+)['\"]?)([^\s'\",]{4,})"
)


def without_secrets(text: str) -> str:
    """``text`` with its URLs stripped of userinfo, query and fragment; ``?...`` replaces the latter two."""
    return _URL.sub(lambda url: f"{url['scheme']}{url['rest']}{'?...' if url['query'] else ''}", text)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Names and numbers that identify a machine and its users, each list with the longest first."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


def anonymize_text(text: str, identifiers: Identifiers) -> str:
    """``text`` without secrets, names of people and machines, home folders, serial numbers, UUIDs, MAC
    addresses, and IP addresses other than loopback. PCI slots and versions stay."""
    text = without_secrets(text)
    text = _TOKEN.sub("<secret>", text)
    text = _SECRET_KEY.sub(lambda match: f"{match[1]}<secret>", text)
    for number in identifiers.numbers:
        text = text.replace(number, "<number>")
    text = _SERIAL.sub(lambda match: f"{match[1]}{match[2]}<number>", text)
    text = _MAC.sub("<number>", _UUID.sub("<number>", text))
    for home in identifiers.homes:
        text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
    text = _HOME.sub("~", text)
    text = _ADDRESS.sub(_anonymize_address, text)
    for name in identifiers.hosts:
        # installers name volume groups after the host: HOST-vg (in /dev/mapper HOST--vg), fedora_HOST
        text = re.sub(rf"(?<![^\W_])(?<!-){re.escape(name)}(?:(?![\w-])|(?=--?vg\b))", "<host>", text)
    for name in identifiers.users:
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<user>", text)
    return text


def _anonymize_address(match: re.Match[str]) -> str:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:  # a time or a PCI slot
        return match[0]
    return match[0] if address.is_loopback or address.is_unspecified else "<address>"
