"""Where the memory of a device is: the shape of one row of ``GET /v1/memory``."""

from dataclasses import dataclass

from domain.machine.accelerator import GpuProcess


@dataclass(frozen=True, slots=True)
class Share:
    """What a launch needs there. ``reserved_bytes`` of it are not in use yet: it starts, or has not touched
    all of its weights."""

    launch: str
    needed_bytes: int
    reserved_bytes: int
    state: str
    policy: str


@dataclass(frozen=True, slots=True)
class DeviceBudget:
    """``free_bytes`` is what the machine shows; ``margin_bytes`` of it plans leave free; ``left_bytes`` is
    what a plan may take: free, less what is reserved, less the margin. ``others_bytes`` are in use by what is
    no launch; ``tenants`` are those processes among them that are known. ``returning`` names launches that
    have ended, and whose memory has not come back yet."""

    device: str
    name: str | None
    total_bytes: int | None
    free_bytes: int | None
    margin_bytes: int
    left_bytes: int | None
    others_bytes: int | None
    shares: tuple[Share, ...] = ()
    tenants: tuple[GpuProcess, ...] = ()
    returning: tuple[str, ...] = ()
