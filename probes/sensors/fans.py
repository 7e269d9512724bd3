"""Fans that report their speed, by device."""

import re
from collections.abc import Mapping, Sequence

from domain.machine.host import Fan
from domain.machine.provenance import Provenance
from probes.sensors.hwmon import Chip

INPUT = re.compile(r"fan[0-9]+_input")
SOURCES = {"rpm": Provenance("hwmon")}

# A header without a fan reports 65535 (it87), and more if a divisor is not applied (linux hwmon/it87.c)
MAX_RPM = 30_000


def probe(chips: Sequence[Chip]) -> tuple[Fan, ...]:
    readings = (
        (chip, channel, chip.read(f"{channel}_input")) for chip in chips for channel in chip.channels(INPUT)
    )
    return tuple(
        Fan(chip.sensor_name(channel), rpm, chip.device_id)
        for chip, channel, rpm in readings
        if rpm is not None and 0 <= rpm <= MAX_RPM
    )


def sources_of(_: Fan) -> Mapping[str, Provenance]:
    return SOURCES
