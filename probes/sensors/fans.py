"""Fans with a tachometer, by device."""

import re
from collections.abc import Mapping, Sequence

from domain.host import Fan
from domain.provenance import Provenance
from probes.sensors.hwmon import Chip

INPUT = re.compile(r"fan[0-9]+_input")
TOLD = {"rpm": Provenance("hwmon")}

# What a tachometer that isn't there says: 65535 of it87, more of what misses a divisor (linux hwmon/it87.c)
MOST_RPM = 30_000


def probe(chips: Sequence[Chip]) -> tuple[Fan, ...]:
    readings = (
        (chip, channel, chip.read(f"{channel}_input")) for chip in chips for channel in chip.channels(INPUT)
    )
    return tuple(
        Fan(chip.sensor(channel), rpm, chip.owner)
        for chip, channel, rpm in readings
        if rpm is not None and 0 <= rpm <= MOST_RPM
    )


def told(_: Fan) -> Mapping[str, Provenance]:
    return TOLD
