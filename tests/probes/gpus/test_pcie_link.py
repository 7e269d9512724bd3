"""The link of a card: its narrowest place, what is a placeholder, and what an idle link looks like."""

import pytest

from domain.machine.accelerator import PcieLink
from probes.gpus import pci, pcie_link
from tests.probes.slots import behind, bridge
from tests.rigs.trees import plant

LANE_5GT, LANE_16GT = 500e6, 16e9 / 8 * 128 / 130


def test_a_switch_on_the_card_does_not_hide_the_slot(machine):
    (card,) = pci.probe(machine("arc-b580"))
    assert pcie_link.bytes_per_s(pcie_link.probe(card)) == pytest.approx(8 * LANE_16GT)


@pytest.mark.parametrize(
    ("port", "card", "expected"),
    [
        # github.com/noonghunna/club-3090/issues/1095: gen 1 at idle, x16 card in a x8 slot
        pytest.param(bridge(8, 8), bridge(16, 8), 8 * LANE_16GT, id="x16 card in a x8 slot"),
        pytest.param(bridge(16, 4), bridge(16, 4), 4 * LANE_16GT, id="x4 riser in a x16 slot"),
        pytest.param(bridge(16, 16, "5.0"), bridge(16, 16), 16 * LANE_5GT, id="old slot"),
        pytest.param({}, bridge(16, 16), 16 * LANE_16GT, id="no bridge in sight"),
        pytest.param({}, bridge(1, 1, "2.5"), None, id="placeholder"),
        pytest.param({}, {}, None, id="not told"),
        pytest.param({}, bridge(999, 999), None, id="nonsense"),
    ],
)
def test_the_narrowest_link_counts_and_idle_speeds_do_not(tmp_path, port, card, expected):
    result = pcie_link.bytes_per_s(pcie_link.probe(behind(tmp_path, port, card)))
    assert result == (expected if expected is None else pytest.approx(expected))


def test_a_x16_card_in_a_x8_slot_could_do_more_and_the_slot_is_named(tmp_path):
    """github.com/noonghunna/club-3090/issues/1095: generation 1 is what it does while idle."""
    result = pcie_link.probe(behind(tmp_path, bridge(8, 8), bridge(16, 8)))
    assert result == PcieLink(1, 8, 4, 8, 4, 16, "0000:00:01.0")


def test_a_riser_shows_fewer_lanes_than_both_its_ends_have(tmp_path):
    result = pcie_link.probe(behind(tmp_path, bridge(16, 4), bridge(16, 4)))
    assert (result.width_now, result.width_max, result.narrowest) == (4, 16, None)


def test_the_link_above_a_switch_on_the_card_counts_where_it_is_the_narrower(machine):
    """The card's own port is 2.5 GT/s x1, and so is the switch's that it hangs on."""
    (card,) = pci.probe(machine("arc-b580"))
    result = pcie_link.probe(card)
    assert result == PcieLink(4, 8, 4, 8, 4, 8)


def test_what_can_be_unplugged_is_external(tmp_path):
    card = behind(tmp_path, {**bridge(4, 4, "8.0"), "removable": "removable"}, bridge(16, 4))
    result = pcie_link.probe(card)
    assert (result.external, result.generation_max, result.width_max) == (True, 3, 4)
    plant(tmp_path, {"sys/devices/pci0000:00/0000:00:01.0/removable": "fixed"})
    assert pcie_link.probe(card).external is False


@pytest.mark.parametrize("speed", ["Unknown", "", "\0", "99.0 GT/s PCIe"])
def test_a_speed_that_is_none_is_no_link(tmp_path, speed):
    assert pcie_link.probe(behind(tmp_path, {}, {**bridge(16, 16), "max_link_speed": speed})) is None
