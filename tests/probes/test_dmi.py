"""Memory modules by SMBIOS type 17, and the peak of their channels."""

import struct

import pytest

from domain.machine.host import MemoryModule
from domain.machine.provenance import Certainty
from probes.memory import dimms, peak_bandwidth
from probes.memory.dimms import MemorySlot
from tests.probes.conftest import unprivileged
from tests.rigs.trees import plant

MIB, GIB = 1024**2, 1024**3


def table(
    *,
    size: int = 16384,
    extended: int = 0,
    kind: int = 0x23,
    speed: int = 8532,
    configured: int = 8000,
    width: int = 32,
    locator: str = "DIMM 0",
    bank: str = "P0 CHANNEL A",
) -> bytes:
    """A structure of SMBIOS 3.3 (DSP0134, 7.18), 0x5C bytes, with its strings."""
    raw = bytearray(0x5C)
    raw[:4] = struct.pack("<BBH", 17, len(raw), 0x1100)
    struct.pack_into("<HHH", raw, 0x08, width, width, size)
    raw[0x10], raw[0x11], raw[0x12] = 1, 2, kind
    struct.pack_into("<H", raw, 0x15, speed)
    struct.pack_into("<I", raw, 0x1C, extended)
    struct.pack_into("<H", raw, 0x20, configured)
    return bytes(raw) + locator.encode() + b"\0" + bank.encode() + b"\0\0"


def slot(
    bank: str = "", locator: str = "", *, bits: int = 64, mts: int = 5600, kind: str = "DDR5"
) -> MemorySlot:
    return MemorySlot(MemoryModule(locator, 16 * GIB, kind, mts * 1e6, bits), bank)


def test_a_strix_halo_has_eight_soldered_packages_of_256_gb_per_s():
    """Ryzen AI MAX+ 395: 8 x 16 GB, 32 bit, 8532 MT/s rated, 8000 configured (CoreFreq issue 561)."""
    slots = [dimms.parse_table(table(bank=f"P0 CHANNEL {letter}")) for letter in "ABCDEFGH"]
    assert slots[0] == MemorySlot(MemoryModule("DIMM 0", 16 * GIB, "LPDDR5", 8e9, 32), "P0 CHANNEL A")
    assert peak_bandwidth.from_modules(slots) == peak_bandwidth.Peak(
        256e9, 256, peak_bandwidth.CHANNELS_SOURCE
    )


def test_the_copy_of_udev_is_read_without_root(tmp_path):
    copy = (
        "I:1234\nE:MEMORY_ARRAY_NUM_DEVICES=4\n"
        "E:MEMORY_DEVICE_0_PRESENT=0\nE:MEMORY_DEVICE_0_LOCATOR=DIMM 0\n"
        "E:MEMORY_DEVICE_1_SIZE=34359738368\nE:MEMORY_DEVICE_1_TYPE=DDR5\nE:MEMORY_DEVICE_1_LOCATOR=DIMM 1\n"
        "E:MEMORY_DEVICE_1_BANK_LOCATOR=P0 CHANNEL A\nE:MEMORY_DEVICE_1_DATA_WIDTH=64\n"
        "E:MEMORY_DEVICE_1_SPEED_MTS=5600\nE:MEMORY_DEVICE_1_CONFIGURED_SPEED_MTS=4800\n"
    )
    root = plant(tmp_path, {"run/udev/data/+dmi:id": copy})
    result = dimms.read(root)
    assert result.modules == (MemoryModule("DIMM 1", 32 * GIB, "DDR5", 4.8e9, 64),)
    assert peak_bandwidth.from_modules(result.slots).bytes_per_s == 38.4e9


def test_the_tables_are_read_where_udev_has_no_copy(tmp_path):
    plant(tmp_path, {f"sys/firmware/dmi/entries/17-{n}/raw": table(locator=f"DIMM {n}") for n in (10, 2)})
    plant(tmp_path, {"sys/firmware/dmi/entries/16-0/raw": table()})
    assert [module.locator for module in dimms.read(tmp_path).modules] == ["DIMM 2", "DIMM 10"]


def test_tables_that_are_roots_are_unknown_to_others(tmp_path):
    name = "sys/firmware/dmi/entries/17-0/raw"
    plant(tmp_path, {name: table()})
    (tmp_path / name).chmod(0)
    assert unprivileged(lambda: dimms.read(tmp_path)).slots == ()
    assert peak_bandwidth.from_modules(()) == peak_bandwidth.Peak(None, None, peak_bandwidth.CHANNELS_SOURCE)


@pytest.mark.parametrize(
    ("raw", "total_bytes"),
    [
        pytest.param(table(size=0), None, id="an empty slot"),
        pytest.param(table(size=0xFFFF), None, id="a size that the firmware doesn't know"),
        pytest.param(table(size=0x7FFF, extended=65536), 64 * GIB, id="a module beyond 32 GiB"),
        pytest.param(table(size=0x8200), 512 * 1024, id="counted in KiB"),
        pytest.param(table()[:0x1A], None, id="cut short"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"\x11\xff" + bytes(40), None, id="longer than it is"),
    ],
)
def test_sizes(raw, total_bytes):
    result = dimms.parse_table(raw)
    assert (result.module.total_bytes if result else None) == total_bytes


def test_a_speed_beyond_65535_and_one_that_is_not_configured():
    raw = bytearray(table(speed=6400, configured=0))
    assert dimms.parse_table(bytes(raw)).module.transfers_per_s == 6.4e9
    struct.pack_into("<H", raw, 0x20, 0xFFFF)
    struct.pack_into("<I", raw, 0x58, 70000)
    assert dimms.parse_table(bytes(raw)).module.transfers_per_s == 70e9


@pytest.mark.parametrize(
    ("slots", "bits", "certainty"),
    [
        pytest.param(
            [slot(f"P0 CHANNEL {c}", f"DIMM {n}") for c in "AB" for n in (0, 1)],
            128, Certainty.DERIVED, id="four modules of a desktop board are two channels",
        ),
        pytest.param(
            [slot("BANK 0", f"Controller{c}-ChannelA-DIMM{n}") for c in (0, 1) for n in (0, 1)],
            128, Certainty.DERIVED, id="Intel: a channel of each controller",
        ),
        pytest.param(
            [slot("", f"DIMM_{c}{n}") for c in "AB" for n in (1, 2)], 128, Certainty.DERIVED, id="DIMM_A1",
        ),
        pytest.param(
            [slot(f"P{p} CHANNEL {c}") for p in (0, 1) for c in "ABCDEFGH"],
            1024, Certainty.DERIVED, id="two sockets of eight channels",
        ),
        pytest.param([slot("BANK 0", "SODIMM")], 64, Certainty.ASSUMED, id="one module, no name"),
        pytest.param([slot("BANK 0"), slot("BANK 2")], 128, Certainty.ASSUMED, id="two without names"),
        pytest.param([slot(f"BANK {n}") for n in range(4)], None, Certainty.ASSUMED, id="four: unknown"),
        pytest.param([slot("CHANNEL A", bits=0)], None, Certainty.DERIVED, id="a width that is none"),
        pytest.param([], None, Certainty.DERIVED, id="nobody may tell"),
    ],
)  # fmt: skip
def test_width_of_the_channels(slots, bits, certainty):
    result = peak_bandwidth.from_modules(slots)
    assert (result.bus_bits, result.source.certainty) == (bits, certainty)


def test_the_slowest_module_sets_the_speed_and_an_unknown_one_leaves_it_unknown():
    two = [slot("CHANNEL A", mts=4200), slot("CHANNEL B", mts=5600)]
    assert peak_bandwidth.from_modules(two).bytes_per_s == 4200e6 * 16
    assert peak_bandwidth.from_modules([*two, slot("CHANNEL C", mts=0)]).bytes_per_s is None
