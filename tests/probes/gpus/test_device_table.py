"""Rows of the device table: by id, revision and reported memory, never by name."""

import pytest

from probes.gpus.device_table import match
from tests.probes.table import TABLE

MIB, GIB = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("pci_id", "facts", "name"),
    [
        pytest.param(
            "10de:2d04", {"total_bytes": 16311 * MIB}, "NVIDIA GeForce RTX 5060 Ti 16GB", id="by total"
        ),
        pytest.param(
            "10de:2d04", {"total_bytes": 8151 * MIB}, "NVIDIA GeForce RTX 5060 Ti 8GB", id="by total, 8"
        ),
        pytest.param(
            "10de:2d04",
            {},
            "NVIDIA GeForce RTX 5060 Ti 16GB or 8GB",
            id="one id, two cards, no total: either",
        ),
        pytest.param("1002:744c", {}, "AMD Radeon RX 7900 XTX or XT", id="no revision: either"),
        pytest.param("1002:744c", {"revision": "c8"}, "AMD Radeon RX 7900 XTX", id="by revision"),
        pytest.param("1002:744c", {"revision": "cc"}, "AMD Radeon RX 7900 XT", id="by the other revision"),
        pytest.param(
            "1002:744c", {"total_bytes": 25753026560}, "AMD Radeon RX 7900 XTX", id="by exact total"
        ),
        pytest.param("1002:744c", {"revision": "cf"}, None, id="a revision that isn't in the table"),
        pytest.param(
            "10de:2684", {"total_bytes": 24564 * MIB}, "NVIDIA GeForce RTX 4090", id="less than nominal"
        ),
        pytest.param("10de:2684", {"total_bytes": 48 * GIB}, None, id="a 4090 with 48 GB is another card"),
        pytest.param(
            "1002:1586", {"revision": "d1"}, "AMD Radeon 8060S", id="unified: the total tells nothing"
        ),
        pytest.param("10de:ffff", {"total_bytes": 24 * GIB}, None, id="not in the table"),
    ],
)
def test_match(pci_id, facts, name):
    row = match(TABLE, pci_id, **facts)
    assert (row.name if row else None) == name


def test_what_all_rows_agree_on_is_known():
    row = match(TABLE, "10de:2d04")
    assert (row.arch, row.bandwidth_bytes_per_s, row.vram_bytes) == ("sm_120", 448e9, None)
