"""What is printed can always be encoded: no locale, model or file name ends a command with a traceback."""

import codecs
import sys
from io import TextIOWrapper

HANDLER = "node_ctl"
# Of our own words and drawings, and of what models write most
ASCII = str.maketrans(
    {
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{DEGREE SIGN}": "",
        "\N{CHECK MARK}": "+",
        "\N{BALLOT X}": "x",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{MICRO SIGN}": "u",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{NO-BREAK SPACE}": " ",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{BULLET}": "*",
        "\N{RIGHTWARDS ARROW}": "->",
    }
)


def never_fail() -> None:
    """Standard output and error write what their encoding lacks in ASCII, or as a question mark."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def is_unicode(stream: object) -> bool:
    return str(getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return "".join(char if char.isascii() else "?" for char in text), error.end
