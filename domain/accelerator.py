"""What belongs to an accelerator: its link, its peers, who uses its memory, how a runtime shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PcieLink:
    """The way from a GPU to the CPU. ``max`` is the most that card and slot allow at the narrowest port,
    ``now`` what that port does at the moment: idle links fall to generation 1, so a low ``generation_now``
    alone says nothing. ``card`` is what the card could in a better slot.

    ``narrowest`` is the PCI slot of that port where it is a bridge above the card, else ``None``.
    ``external`` is true behind Thunderbolt or USB4; an M.2 or OCuLink adapter shows as a narrow link only.
    """

    generation_now: int | None = None
    width_now: int | None = None
    generation_max: int | None = None
    width_max: int | None = None
    card_generation: int | None = None
    card_width: int | None = None
    narrowest: str | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    """A process that holds memory of a GPU and is no engine of this daemon; ``name`` is its program."""

    pid: int
    name: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Another GPU of this machine, as the driver says that this one reaches it.

    ``p2p`` is whether they read each other's memory without the CPU; ``nvlinks`` counts active links.
    """

    id: str
    p2p: bool | None = None
    nvlinks: int | None = None


@dataclass(frozen=True, slots=True)
class RuntimeDevice:
    """A device as Vulkan or Level Zero shows it. ``gpu`` is the ``id`` of that GPU here, by its PCI slot.

    ``memory_bytes`` is the largest device-local heap: on a unified machine a fiction of the driver.
    """

    name: str
    kind: str | None = None
    gpu: str | None = None
    driver: str | None = None
    api: str | None = None
    memory_bytes: int | None = None
    heaps_bytes: tuple[int, ...] = ()
