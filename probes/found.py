"""What one vendor's probe hands back; the snapshot puts the vendors together."""

from dataclasses import dataclass

from domain.hardware import Gpu, Problem, Thermal


@dataclass(frozen=True, slots=True)
class Found:
    """``cuda`` is the highest CUDA version of the driver. Thermals are those that hwmon doesn't have."""

    gpus: tuple[Gpu, ...] = ()
    thermals: tuple[Thermal, ...] = ()
    problems: tuple[Problem, ...] = ()
    cuda: str | None = None
