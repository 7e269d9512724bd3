"""Peak bandwidth of the RAM: configured speed x width of the channels that have modules. Pure.

The data sheet of a unified chip limits it, because firmware tables name widths that the chip does not have.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.machine.hardware import BandwidthSource, Memory
from domain.machine.provenance import Certainty, Provenance
from probes.memory.dimms import MemorySlot
from probes.result import Reading

# Channels in firmware: "P0 CHANNEL A" (AMD), "Controller0-ChannelA-DIMM0" (Intel), "DIMM_A1", "A1"
SOCKET = re.compile(r"(?:\bP|CPU|PROC|NODE)[ _]?([0-9])", re.IGNORECASE)
CONTROLLER = re.compile(r"CONTROLLER[ _]?([0-9])", re.IGNORECASE)
CHANNELS = (
    re.compile(r"CHANNEL[ _-]?([A-Z0-9])", re.IGNORECASE),
    re.compile(r"DIMM[ _]?([A-Z])(?![A-Z])", re.IGNORECASE),
    re.compile(r"\b([A-P])[0-9]\b"),
)
SOLDERED = ("LPDDR", "HBM")
MAX_UNNAMED_MODULES = 2  # of a board that does not name its channels: each counts as a channel of its own

CHANNELS_SOURCE = Provenance(
    "dmi", Certainty.DERIVED, "configured speed x width of the channels that have modules"
)
MODULES_SOURCE = Provenance(
    "dmi", Certainty.ASSUMED, "the firmware names no channels: each module counts as one"
)


@dataclass(frozen=True, slots=True)
class Peak:
    bytes_per_s: float | None = None
    bus_bits: int | None = None
    source: Provenance = CHANNELS_SOURCE


def from_modules(slots: Sequence[MemorySlot]) -> Peak:
    """All modules of a board run at the speed of the slowest."""
    bits, source = bus_bits(slots)
    speeds = [slot.module.transfers_per_s for slot in slots]
    known = [speed for speed in speeds if speed]
    if bits is None or not known or len(known) < len(speeds):
        return Peak(None, bits, source)
    return Peak(min(known) * bits / 8, bits, source)


def limit_to_rated(
    memory: Memory, rated_bytes_per_s: float | None, rated_source: Provenance
) -> Reading[Memory]:
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
    return Reading(value, provenance=dict.fromkeys(fields, rated_source))


def bus_bits(slots: Sequence[MemorySlot]) -> tuple[int | None, Provenance]:
    """The width of all channels that have a module, and its provenance.

    Two modules in one channel share it: four modules on a desktop board are still 128 bits.
    """
    widths = [slot.module.data_bits for slot in slots]
    known = [width for width in widths if width]
    if not known or len(known) < len(widths):
        return None, CHANNELS_SOURCE
    if all((slot.module.kind or "").startswith(SOLDERED) for slot in slots):
        return sum(known), CHANNELS_SOURCE
    channels: dict[str, int] = {}
    for slot, width in zip(slots, known, strict=True):
        name = channel_name(slot)
        if name is None:
            return (sum(known) if len(known) <= MAX_UNNAMED_MODULES else None), MODULES_SOURCE
        channels[name] = max(width, channels.get(name, 0))
    return sum(channels.values()), CHANNELS_SOURCE


def channel_name(slot: MemorySlot) -> str | None:
    """``"0:1:A"``: socket, controller and letter, from bank and locator. None if they name no channel."""
    text = f"{slot.bank} {slot.module.locator}"
    letter = next((match[1] for pattern in CHANNELS if (match := pattern.search(text))), None)
    if letter is None:
        return None
    socket, controller = (pattern.search(text) for pattern in (SOCKET, CONTROLLER))
    return f"{socket[1] if socket else 0}:{controller[1] if controller else 0}:{letter.upper()}"
