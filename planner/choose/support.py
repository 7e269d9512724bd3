"""Whether an engine can run a model on a machine, and which of its models may be chosen."""

from dataclasses import dataclass

from domain.launches.plan import DeviceMemory
from domain.models.model import ResolvedModel


@dataclass(frozen=True, slots=True)
class Support:
    """``why_not``: empty if the engine can run. ``is_known``: false if the machine does not report enough to
    be sure."""

    why_not: str = ""
    is_known: bool = True

    def __bool__(self) -> bool:
        return not self.why_not


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a model needs and what there is for it, ``None`` if not known: of the one device that ``where``
    names, in a sentence, else of all together."""

    needs_bytes: int
    has_bytes: int | None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What a placement would put on a device, or on each of some, that ``where`` names, and what there is for
    it beside what stays free; ``None`` if not known."""

    where: str
    memory: DeviceMemory
    has_bytes: int | None

    @property
    def missing_bytes(self) -> int:
        return 0 if self.has_bytes is None else max(0, self.memory.needed_bytes - self.has_bytes)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """``selectable``: models that may be chosen. ``priced_only``: models whose price is stated, but which
    can't be chosen, for the given ``reasons``."""

    selectable: tuple[ResolvedModel, ...]
    priced_only: tuple[ResolvedModel, ...] = ()
    reasons: tuple[str, ...] = ()
