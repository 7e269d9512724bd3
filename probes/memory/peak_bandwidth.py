"""The most that the RAM can do: configured speed x width of the channels that have modules. Pure.

What a data sheet says of a unified chip bounds it: firmware tables name widths that a chip doesn't have.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.hardware import BandwidthSource, Memory
from domain.provenance import Certainty, Provenance
from probes.memory.dimms import Slot
from probes.result import Reading

# How firmware names channels: "P0 CHANNEL A" (AMD), "Controller0-ChannelA-DIMM0" (Intel), "DIMM_A1", "A1"
SOCKET = re.compile(r"(?:\bP|CPU|PROC|NODE)[ _]?([0-9])", re.IGNORECASE)
CONTROLLER = re.compile(r"CONTROLLER[ _]?([0-9])", re.IGNORECASE)
CHANNELS = (
    re.compile(r"CHANNEL[ _-]?([A-Z0-9])", re.IGNORECASE),
    re.compile(r"DIMM[ _]?([A-Z])(?![A-Z])", re.IGNORECASE),
    re.compile(r"\b([A-P])[0-9]\b"),
)
SOLDERED = ("LPDDR", "HBM")
MOST_PLAIN_MODULES = 2  # of a board whose channels have no name: each is taken for a channel of its own

SURE = Provenance("dmi", Certainty.DERIVED, "configured speed x width of the channels that have modules")
GUESSED = Provenance("dmi", Certainty.ASSUMED, "channels have no name here: each module is taken for one")


@dataclass(frozen=True, slots=True)
class Peak:
    bytes_per_s: float | None = None
    bus_bits: int | None = None
    told: Provenance = SURE


def of_modules(slots: Sequence[Slot]) -> Peak:
    """Modules of one board all run at the speed of the slowest."""
    bits, told = bus_bits(slots)
    speeds = [slot.module.transfers_per_s for slot in slots]
    known = [speed for speed in speeds if speed]
    if bits is None or not known or len(known) < len(speeds):
        return Peak(None, bits, told)
    return Peak(min(known) * bits / 8, bits, told)


def bounded(memory: Memory, rated_bytes_per_s: float | None, rated_told: Provenance) -> Reading[Memory]:
    """``memory`` with the peak of the chip that it is soldered to, where that is lower or the only one."""
    peak = memory.peak_bandwidth_bytes_per_s
    if rated_bytes_per_s is None or (peak is not None and peak <= rated_bytes_per_s):
        return Reading(memory)
    value = replace(
        memory,
        peak_bandwidth_bytes_per_s=rated_bytes_per_s,
        bandwidth_bytes_per_s=rated_bytes_per_s,
        bandwidth_source=BandwidthSource.PEAK,
    )
    fields = ("peak_bandwidth_bytes_per_s", "bandwidth_bytes_per_s", "bandwidth_source")
    return Reading(value, told=dict.fromkeys(fields, rated_told))


def bus_bits(slots: Sequence[Slot]) -> tuple[int | None, Provenance]:
    """Bits of all channels that have a module, and how sure that is.

    Two modules of one channel take turns: four of them on a desktop board are still 128 bits.
    """
    widths = [slot.module.data_bits for slot in slots]
    known = [width for width in widths if width]
    if not known or len(known) < len(widths):
        return None, SURE
    if all((slot.module.kind or "").startswith(SOLDERED) for slot in slots):
        return sum(known), SURE
    channels: dict[str, int] = {}
    for slot, width in zip(slots, known, strict=True):
        name = channel(slot)
        if name is None:
            return (sum(known) if len(known) <= MOST_PLAIN_MODULES else None), GUESSED
        channels[name] = max(width, channels.get(name, 0))
    return sum(channels.values()), SURE


def channel(slot: Slot) -> str | None:
    """``"0:1:A"``, socket, controller and letter, of what bank and locator say together; None for neither."""
    words = f"{slot.bank} {slot.module.locator}"
    letter = next((found[1] for pattern in CHANNELS if (found := pattern.search(words))), None)
    if letter is None:
        return None
    socket, controller = (pattern.search(words) for pattern in (SOCKET, CONTROLLER))
    return f"{socket[1] if socket else 0}:{controller[1] if controller else 0}:{letter.upper()}"
