"""The rows of the device table that the machines of these tests need, with data-sheet figures."""

from domain.models.catalogue_types import KnownGpu

GIB = 1024**3

TABLE = (
    KnownGpu(
        "NVIDIA GeForce RTX 3090", "10de", ("10de:2204",), (), "sm_86", 24 * GIB, 24 * GIB, 936.2e9, 71.2e12
    ),
    KnownGpu(
        "NVIDIA GeForce RTX 4090",
        "10de",
        ("10de:2684",),
        (),
        "sm_89",
        24 * GIB,
        25757220864,
        1008e9,
        165.2e12,
    ),
    KnownGpu("NVIDIA GeForce RTX 5060 Ti 16GB", "10de", ("10de:2d04",), (), "sm_120", 16 * GIB, None, 448e9),
    KnownGpu("NVIDIA GeForce RTX 5060 Ti 8GB", "10de", ("10de:2d04",), (), "sm_120", 8 * GIB, None, 448e9),
    KnownGpu("NVIDIA GB10", "10de", ("10de:2e12",), (), "sm_121", 128 * GIB, None, 273e9, None, unified=True),
    KnownGpu(
        "AMD Radeon RX 7900 XTX", "1002", ("1002:744c",), ("c8",), "gfx1100", 24 * GIB, 25753026560, 960e9
    ),
    KnownGpu(
        "AMD Radeon RX 7900 XT", "1002", ("1002:744c",), ("cc",), "gfx1100", 20 * GIB, 21458059264, 800e9
    ),
    KnownGpu(
        "AMD Radeon 8060S",
        "1002",
        ("1002:1586",),
        ("c1", "d1"),
        "gfx1151",
        None,
        None,
        256e9,
        59.4e12,
        unified=True,
    ),
    KnownGpu(
        "AMD Radeon 890M", "1002", ("1002:150e",), (), "gfx1150", None, None, None, 23.8e12, unified=True
    ),
    KnownGpu("Intel Arc B580", "8086", ("8086:e20b",), (), None, 12 * GIB, None, 456e9, 116.5e12),
    KnownGpu("Intel UHD Graphics", "8086", ("8086:46d1",), (), None, None, None, 38.4e9, None, unified=True),
)
