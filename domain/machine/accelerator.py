"""Parts of an accelerator: PCIe link, peers, processes that use its memory, and how a runtime reports it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PcieLink:
    """The link from a GPU to the CPU. ``max`` is the maximum of card and slot at the narrowest port, ``now``
    the present state of that port: idle links drop to generation 1, so a low ``generation_now`` alone is no
    fault. ``card`` is the maximum of the card in a better slot.

    ``narrowest`` is the PCI slot of that port if it belongs to a bridge above the card, else ``None``.
    ``external`` is true behind Thunderbolt or USB4; an M.2 or OCuLink adapter appears only as a narrow link.
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
class GpuProcess:
    """A process that holds memory of a GPU. ``name`` is its program."""

    pid: int
    name: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Another GPU of this machine and its connection to this one, as the driver reports it.

    ``p2p`` is whether they read each other's memory without the CPU; ``nvlinks`` is the number of active
    links.
    """

    id: str
    p2p: bool | None = None
    nvlinks: int | None = None


@dataclass(frozen=True, slots=True)
class RuntimeDevice:
    """A device as Vulkan or Level Zero reports it. ``gpu`` is the ``id`` of that GPU in ``Hardware``.

    ``memory_bytes`` is the largest device-local heap, which on a unified machine is no real limit.
    """

    name: str
    kind: str | None = None
    gpu: str | None = None
    driver: str | None = None
    api: str | None = None
    memory_bytes: int | None = None
    heaps_bytes: tuple[int, ...] = ()
