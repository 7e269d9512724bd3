"""TOML that an owner wrote. Imports little: node-ctl uses it, too."""

import re
import tomllib
from typing import Any

MAX_BITS = 1024  # of a number, about 300 digits; Python prints none of more than 4,300
MAX_DEPTH = 64
_LONG_NUMBER = re.compile(r"[0-9A-Fa-f_]{200}")


def loads(text: str) -> dict[str, Any]:
    """Raises: tomllib.TOMLDecodeError, also for numbers too long and tables too deep for their readers."""
    try:
        table = tomllib.loads(text)
        _check(table, MAX_DEPTH)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("arrays or tables are nested too deeply") from None
    except ValueError:
        raise tomllib.TOMLDecodeError(f"a number has too many digits{_place(text)}") from None
    return table


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise RecursionError
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(item, depth - 1)


def _place(text: str) -> str:
    """As tomllib writes it, where it does not say it itself."""
    found = _LONG_NUMBER.search(text)
    if found is None:
        return ""
    line = text.count("\n", 0, found.start()) + 1
    return f" (at line {line}, column {found.start() - text.rfind(chr(10), 0, found.start())})"
