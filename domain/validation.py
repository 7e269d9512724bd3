"""Whether the figures of a machine that somebody wrote down can be true. Unknown is ``None``, never zero."""

import math
from dataclasses import fields, is_dataclass

# What a machine in use may have none of. Everything else that is counted in these units it has.
MAY_BE_NOTHING = ("free", "available", "swap", "zram", "hugepages", "limit")
COUNTED = ("_bytes", "_bytes_per_s", "_flops_per_s", "_cores", "_cpus", "_nodes", "_w")


def check(value: object, where: str = "") -> None:
    """Raises: ValueError, naming the field, for a figure that is negative, endless, or a zero that should
    have been left out."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            check(item, f"{where}[{index}]")
    elif is_dataclass(value):
        for item in fields(value):
            check(getattr(value, item.name), f"{where}.{item.name}" if where else item.name)
    elif isinstance(value, int | float) and where.endswith(COUNTED):
        least = (
            0 if any(word in where.rpartition(".")[2] for word in MAY_BE_NOTHING) else math.nextafter(0, 1)
        )
        if not least <= value < math.inf:
            raise ValueError(f"{where} can't be {value:g}: leave out what is not known")
