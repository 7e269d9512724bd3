"""The memory modules that the firmware lists (SMBIOS type 17), from udev's copy or from the tables.

Only root may read the tables. systemd 249 and later copy them once a boot (dmi_memory_id, 70-memory.rules) to
where every user may read them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.machine.host import MemoryModule
from domain.machine.provenance import Provenance
from probes import sysfs

UDEV_COPY = Path("run/udev/data/+dmi:id")
ENTRIES = Path("sys/firmware/dmi/entries")
PROPERTY = re.compile(r"E:MEMORY_DEVICE_([0-9]{1,3})_([A-Z_]+)=(.*)")

# DSP0134 (SMBIOS 3.7), 7.18.2 Memory Device: Type
KINDS = {
    0x18: "DDR3", 0x1A: "DDR4", 0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4",
    0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip

UDEV_SOURCE, TABLE_SOURCE = (
    Provenance("dmi", note="type 17, as udev copied it at boot"),
    Provenance("dmi", note="type 17"),
)
UNKNOWN_WORD = 0xFFFF
MIB, KIB = 1024**2, 1024


@dataclass(frozen=True, slots=True)
class MemorySlot:
    """A module and the firmware's name of its bank, which may name the channel."""

    module: MemoryModule
    bank: str = ""


@dataclass(frozen=True, slots=True)
class MemorySlots:
    """The populated slots; () if they cannot be read."""

    slots: tuple[MemorySlot, ...] = ()
    source: Provenance = TABLE_SOURCE

    @property
    def modules(self) -> tuple[MemoryModule, ...]:
        return tuple(slot.module for slot in self.slots)


def read(root: Path) -> MemorySlots:
    copied = parse_udev(sysfs.read(root / UDEV_COPY) or "")
    if copied:
        return MemorySlots(copied, UDEV_SOURCE)
    names = (name for name in sysfs.entries(root / ENTRIES) if name.startswith("17-"))
    tables = (sysfs.read_bytes(root / ENTRIES / name / "raw") for name in names)
    return MemorySlots(_populated(parse_table(table or b"") for table in tables), TABLE_SOURCE)


def parse_udev(text: str) -> tuple[MemorySlot, ...]:
    """Lines like ``E:MEMORY_DEVICE_0_SIZE=17179869184``: a group of properties for each slot."""
    slots: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        match = PROPERTY.fullmatch(line.strip())
        if match:
            slots.setdefault(int(match[1]), {})[match[2]] = match[3]
    return _populated(_parse_properties(slots[number]) for number in sorted(slots))


def _parse_properties(properties: Mapping[str, str]) -> MemorySlot | None:
    if properties.get("PRESENT") == "0":
        return None
    numbers = {key: sysfs.parse_int(value) for key, value in properties.items()}
    return _memory_slot(
        locator=properties.get("LOCATOR", ""),
        bank=properties.get("BANK_LOCATOR", ""),
        total_bytes=numbers.get("SIZE"),
        kind=properties.get("TYPE"),
        megatransfers=(numbers.get("CONFIGURED_SPEED_MTS") or numbers.get("SPEED_MTS")),
        data_bits=numbers.get("DATA_WIDTH"),
    )


def parse_table(table: bytes) -> MemorySlot | None:
    """One type 17 structure with its strings; None if the slot is empty or the structure is cut short."""
    length = table[1] if len(table) > 1 else 0
    if not 0x1B <= length <= len(table) or table[0] != 17:
        return None
    strings = table[length:].split(b"\0")
    size = _word(table, 0x0C)
    total_bytes = size * MIB if size < 0x8000 else (size & 0x7FFF) * KIB
    if size == 0x7FFF:
        total_bytes = _number(table, 0x1C, 4) * MIB
    return _memory_slot(
        locator=_string(strings, table[0x10]),
        bank=_string(strings, table[0x11]),
        total_bytes=None if size == UNKNOWN_WORD else total_bytes,
        kind=KINDS.get(table[0x12]),
        megatransfers=_speed(table, 0x20, 0x58) or _speed(table, 0x15, 0x54),
        data_bits=_word(table, 0x0A),
    )


def _memory_slot(
    *,
    locator: str,
    bank: str,
    total_bytes: int | None,
    kind: str | None,
    megatransfers: int | None,
    data_bits: int | None,
) -> MemorySlot | None:
    """``megatransfers`` are per second. A slot without a size is empty."""
    if not total_bytes or total_bytes < 0:
        return None
    module = MemoryModule(
        locator=" ".join(locator.split()),
        total_bytes=total_bytes,
        kind=kind,
        transfers_per_s=megatransfers * 1e6 if megatransfers and megatransfers > 0 else None,
        data_bits=data_bits if data_bits and 8 <= data_bits <= 1024 else None,
    )
    return MemorySlot(module, bank)


def _populated(slots: Iterable[MemorySlot | None]) -> tuple[MemorySlot, ...]:
    return tuple(slot for slot in slots if slot)


def _word(table: bytes, offset: int) -> int:
    return _number(table, offset, 2)


def _number(table: bytes, offset: int, size: int) -> int:
    """0, which SMBIOS uses for "unknown", if the structure is of an older version and ends before."""
    return int.from_bytes(table[offset : offset + size], "little") if table[1] >= offset + size else 0


def _speed(table: bytes, offset: int, extended: int) -> int:
    speed = _word(table, offset)
    return _number(table, extended, 4) & 0x7FFFFFFF if speed == UNKNOWN_WORD else speed


def _string(strings: list[bytes], number: int) -> str:
    string = strings[number - 1] if 1 <= number <= len(strings) else b""
    return string.decode(errors="replace")
