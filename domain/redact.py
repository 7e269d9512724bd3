"""Texts as they may be shown: without what opens doors, and without what tells whose machine it is."""

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
# Tokens by the form that their makers gave them, and whatever is called one
_TOKEN = re.compile(r"\b(?:hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{8,}|(?<=Bearer )\S+")
_NAMED = re.compile(
    r"(?i)((?:api[_-]?key|token|password|passwd|secret)['\"]?(?:\s*[:=]\s*|\s+)['\"]?)([^\s'\",]{4,})"
)


@dataclass(frozen=True, slots=True)
class Private:
    """What is known of one machine and its people, to be left out: the longest first."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


def without_secrets(text: str) -> str:
    """``text`` with each URL in it short of userinfo, query and fragment; ``?...`` tells of one."""
    return _URL.sub(lambda url: f"{url['scheme']}{url['rest']}{'?...' if url['query'] else ''}", text)


def anonymize(text: str, private: Private) -> str:
    """``text`` without secrets, names of people and machines, homes, serial numbers, UUIDs, and addresses of
    the network but the loopback's. PCI slots and versions stay."""
    text = without_secrets(text)
    text = _TOKEN.sub("<secret>", text)
    text = _NAMED.sub(lambda found: f"{found[1]}<secret>", text)
    for number in private.numbers:
        text = text.replace(number, "<number>")
    text = _SERIAL.sub(lambda found: f"{found[1]}{found[2]}<number>", text)
    text = _MAC.sub("<number>", _UUID.sub("<number>", text))
    for home in private.homes:
        text = re.sub(rf"{re.escape(home)}(?![\w-])", "~", text)
    text = _HOME.sub("~", text)
    text = _ADDRESS.sub(_address, text)
    for name in private.hosts:
        # installers name volume groups after the host: HOST-vg (in /dev/mapper HOST--vg), fedora_HOST
        text = re.sub(rf"(?<![^\W_])(?<!-){re.escape(name)}(?:(?![\w-])|(?=--?vg\b))", "<host>", text)
    for name in private.users:
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<user>", text)
    return text


def _address(found: re.Match[str]) -> str:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:  # a time, a PCI slot
        return found[0]
    return found[0] if address.is_loopback or address.is_unspecified else "<address>"
