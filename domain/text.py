"""Text that others wrote, as it may be shown and stored."""

import re

# Control characters but tab and newline, marks that reorder text, and the surrogates by which Python keeps
# bytes of a file's name that are not UTF-8 (PEP 383).
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""``text`` with an escape for each character that would control a terminal, mislead a reader, or have no
    UTF-8: ``caf\xe9.gguf``, ``\x1b[2J``, ``\u202e``."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
