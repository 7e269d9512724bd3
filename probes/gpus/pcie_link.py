"""The PCI Express link of a card: its present speed, its maximum, and its narrowest port.

Reading these files of a card that is awake has no effect on it; they are not read of a sleeping card.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.machine.accelerator import PcieLink
from domain.machine.provenance import Certainty, Provenance
from probes import sysfs
from probes.gpus.pci import PciDevice

# Bytes/s of one lane and direction, after 8b/10b, 128b/130b or FLIT coding (PCI-SIG base specification)
LANE_BYTES_PER_S = {
    "2.5": 250e6,
    "5.0": 500e6,
    "8.0": 8e9 / 8 * 128 / 130,
    "16.0": 16e9 / 8 * 128 / 130,
    "32.0": 32e9 / 8 * 128 / 130,
    "64.0": 64e9 / 8 * 242 / 256,
}
LANES = dict(enumerate(LANE_BYTES_PER_S.values(), start=1))
GENERATIONS = {speed: generation for generation, speed in enumerate(LANE_BYTES_PER_S, start=1)}
PLACEHOLDER = (1, 1)  # cards with a switch of their own (Arc) and GB10 show this in any slot
MAX_LANES = 32

SOURCE = Provenance("sysfs", note="max_ and current_link_* of every port up to the root, the narrowest")
RATE_SOURCE = Provenance(
    "sysfs", Certainty.DERIVED, "highest generation of both ends x number of lanes in use"
)


@dataclass(frozen=True, slots=True)
class _Port:
    """One end of a link."""

    slot: str
    generation: int
    width: int
    generation_now: int | None
    width_now: int | None


def probe(device: PciDevice) -> PcieLink | None:
    """None if no port reports its link, or only with placeholders.

    The narrowest link on the way to the CPU counts. Its speed is the highest that both ends support, because
    idle links drop to 2.5 GT/s; its width is the number of lanes in use, because a x16 card in a x4 riser
    still reports 16 as its maximum.
    """
    ports, external = _ports(device.path)
    # a card and the lower port of its bridge are the ends of one link, so are the next two ports
    pairs = [ports[start : start + 2] for start in range(0, len(ports), 2)]
    card = next((port for port in ports if port), None)  # of a card with a switch, the switch's port
    links = [_link(pair, card=card, external=external) for pair in pairs]
    rated = [(rate, link) for link in links if link and (rate := bytes_per_s(link))]
    return min(rated, key=lambda rate_and_link: rate_and_link[0])[1] if rated else None


def bytes_per_s(link: PcieLink | None) -> float | None:
    """In one direction: the highest generation of the link x the number of lanes in use."""
    width = (link.width_now or link.width_max) if link else None
    lane = LANES.get(link.generation_max or 0) if link else None
    return lane * width if lane and width else None


def _ports(path: Path) -> tuple[list[_Port | None], bool]:
    """From the card upwards, None for a placeholder; and whether any of them can be unplugged."""
    ports: list[_Port | None] = []
    external = False
    folder = path.resolve()
    while not ports or sysfs.exists(folder / "max_link_speed"):
        ports.append(_port(folder))
        external = external or sysfs.read(folder / "removable") == "removable"
        folder = folder.parent
    return ports, external


def _port(path: Path) -> _Port | None:
    generation, width = _generation(path / "max_link_speed"), _width(path / "max_link_width")
    if generation is None or width is None or (generation, width) == PLACEHOLDER:
        return None
    now = _width(path / "current_link_width")
    return _Port(
        path.name.lower(),
        generation,
        width,
        _generation(path / "current_link_speed"),
        now if now is None or now <= width else None,
    )


def _generation(path: Path) -> int | None:
    return GENERATIONS.get((sysfs.read(path) or "").partition(" ")[0])


def _width(path: Path) -> int | None:
    width = sysfs.read_int(path)
    return width if width and 1 <= width <= MAX_LANES else None


def _link(pair: Sequence[_Port | None], *, card: _Port | None, external: bool) -> PcieLink | None:
    ends = [port for port in pair if port]
    if not ends:
        return None
    limiting = min(ends, key=lambda port: LANES[port.generation] * port.width)
    return PcieLink(
        generation_now=min((end.generation_now for end in ends if end.generation_now), default=None),
        width_now=min((end.width_now for end in ends if end.width_now), default=None),
        generation_max=min(end.generation for end in ends),
        width_max=min(end.width for end in ends),
        card_generation=card.generation if card else None,
        card_width=card.width if card else None,
        narrowest=None if limiting is card else limiting.slot,
        external=external,
    )
