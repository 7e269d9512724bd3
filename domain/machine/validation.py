"""Checks the figures of a machine that somebody wrote down. Unknown is ``None``, never zero."""

import math
from dataclasses import fields, is_dataclass

# Figures that may be zero on a machine in use, by a part of their name. All other figures in these units must
# be positive
MAY_BE_ZERO = ("free", "available", "swap", "zram", "hugepages", "limit")
MAX_FIGURE = 2**63 - 1  # bytes, or operations per second: no machine's, and sums of them are still floats
RATE_SUFFIX = "_per_s"
MIN_RATE = 1  # of bytes or operations: at less, times are infinite and speeds zero
COUNTED_SUFFIXES = ("_bytes", "_bytes_per_s", "_flops_per_s", "_cores", "_cpus", "_nodes", "_w")


def check_figures(value: object, name: str = "") -> None:
    """Raises: ValueError, naming the field, for a figure that is negative, too large for any machine, or zero
    where unknown should have been left out."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            check_figures(item, f"{name}[{index}]")
    elif is_dataclass(value):
        for item in fields(value):
            check_figures(getattr(value, item.name), f"{name}.{item.name}" if name else item.name)
    elif isinstance(value, int | float) and name.endswith(COUNTED_SUFFIXES):
        may_be_zero = any(word in name.rpartition(".")[2] for word in MAY_BE_ZERO)
        minimum = 0 if may_be_zero else MIN_RATE if name.endswith(RATE_SUFFIX) else math.nextafter(0, 1)
        if not minimum <= value <= MAX_FIGURE:
            raise ValueError(f"{name} can't be {_shown(value)}: leave out what is not known")


def _shown(value: float) -> str:
    """An integer may be too large for ``:g``."""
    if MAX_FIGURE < value < math.inf:
        return f"above {MAX_FIGURE:g}"
    return f"below {-MAX_FIGURE:g}" if -math.inf < value < -MAX_FIGURE else f"{value:g}"
