"""Checks the figures of a machine that somebody wrote down. Unknown is ``None``, never zero."""

import math
from dataclasses import fields, is_dataclass

# Figures that may be zero on a machine in use, by a part of their name. All other figures in these units must
# be positive
MAY_BE_ZERO = ("free", "available", "swap", "zram", "hugepages", "limit")
MAX_FIGURE = 2**63 - 1  # bytes, or operations per second: no machine's, and sums of them are still floats
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
        minimum = 0 if may_be_zero else math.nextafter(0, 1)
        if not minimum <= value <= MAX_FIGURE:
            shown = f"above {MAX_FIGURE:g}" if MAX_FIGURE < value < math.inf else f"{value:g}"
            raise ValueError(f"{name} can't be {shown}: leave out what is not known")
