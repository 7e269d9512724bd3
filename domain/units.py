"""Bytes and rates as people read and write them. GiB exist only here and on screen."""

import re
from decimal import Decimal

MIB = 1024**2
GIB = 1024**3

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*(?:([KMGT])(i?))?B", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """``"4 GB"`` -> 4000000000, ``"1.5GiB"`` -> 1610612736. Raises: ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 4 GB, 4 GiB or 500 MB")
    figure, unit, binary = match.groups(default="")
    return int(Decimal(figure) * (1024 if binary else 1000) ** _POWERS[unit.upper()])


def gib(count_bytes: int | None) -> str:
    """``12884901888`` -> ``"12.0 GiB"``; below one GiB in MiB; unknown -> ``"?"``."""
    if count_bytes is None:
        return "?"
    if abs(count_bytes) < GIB:
        return f"{count_bytes / MIB:.0f} MiB"
    return f"{count_bytes / GIB:.1f} GiB"


def gb_per_s(rate_bytes_per_s: float | None) -> str:
    """Memory rates as data sheets print them: powers of ten. Unknown -> ``"?"``."""
    return "?" if rate_bytes_per_s is None else f"{rate_bytes_per_s / 1e9:.1f} GB/s"


def rate(tokens_per_s: float | None) -> str:
    """``85.4`` -> ``"85"``, ``7.31`` -> ``"7.3"``, ``0.0434`` -> ``"0.043"``; unknown -> ``"?"``."""
    if tokens_per_s is None:
        return "?"
    if tokens_per_s < 1:
        return f"{tokens_per_s:.2g}"
    return f"{tokens_per_s:.1f}" if tokens_per_s < 20 else f"{tokens_per_s:.0f}"


def percent(share: float) -> str:
    """``2.43`` -> ``"2.4 %"``, ``0.0213`` -> ``"0.02 %"``, ``38.2`` -> ``"38 %"``. Takes percent."""
    if share >= 999.5:
        return "over 1000 %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 else f"{share:.2f} %"


def counted(count: int, noun: str) -> str:
    """``1 restart``, ``2 restarts``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """``3725`` -> ``"1 h 02 min"``, ``75`` -> ``"1 min 15 s"``; unknown -> ``"?"``."""
    if seconds is None:
        return "?"
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{seconds:.1f} s"
