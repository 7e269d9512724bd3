"""When a model yields a GPU to other programs that ask for memory there, and when it comes back. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from domain.machine.accelerator import GpuProcess
from domain.units import MIB

GROWN_BYTES = 256 * MIB  # a desktop's windows come and go with less
MARGIN_SHARE, LEAST_MARGIN_BYTES = 0.05, 512 * MIB
BACK_S = 15.0  # a program that loads its next model has let go of the one before


@dataclass(frozen=True, slots=True)
class Use:
    """One GPU: its memory, and the programs other than our engines that hold some of it."""

    total_bytes: int
    free_bytes: int
    tenants: Sequence[GpuProcess]

    @property
    def is_squeezed(self) -> bool:
        return self.free_bytes < max(LEAST_MARGIN_BYTES, MARGIN_SHARE * self.total_bytes)


@dataclass(frozen=True, slots=True)
class Tenancy:
    """``before``: what programs held by process id when the model was loaded, or at least since. ``guests``
    are those for which it yielded, ``left_s``: since when they are gone."""

    before: Mapping[int, int] = field(default_factory=dict)
    guests: tuple[GpuProcess, ...] = ()
    left_s: float | None = None

    @classmethod
    def begin(cls, use: Use) -> "Tenancy":
        return cls({one.pid: one.memory_bytes or 0 for one in use.tenants})

    @property
    def names(self) -> str:
        return ", ".join(sorted({one.name or f"process {one.pid}" for one in self.guests}))


def after_sample(tenancy: Tenancy, use: Use, now_s: float) -> Tenancy:
    grown = tuple(one for one in use.tenants if _has_grown(tenancy, one))
    if not tenancy.guests:
        before = {
            one.pid: min(tenancy.before[one.pid], one.memory_bytes or 0)
            for one in use.tenants
            if one.pid in tenancy.before
        }
        return replace(tenancy, before=before, guests=grown if use.is_squeezed else ())
    if grown:
        return replace(tenancy, guests=grown, left_s=None)
    left_s = now_s if tenancy.left_s is None else tenancy.left_s
    if now_s - left_s >= BACK_S:
        return replace(tenancy, guests=(), left_s=None)
    return replace(tenancy, left_s=left_s)


def _has_grown(tenancy: Tenancy, one: GpuProcess) -> bool:
    """One whose memory the driver does not tell has, if it is new."""
    if one.memory_bytes is None:
        return one.pid not in tenancy.before
    return one.memory_bytes - tenancy.before.get(one.pid, 0) >= GROWN_BYTES
