"""What is kept of the machine and its models over time: the shape of ``GET /v1/history``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DAY_S = 86400
KEPT_S = 90 * DAY_S


class What(StrEnum):
    """What is asked for."""

    TEMPERATURE = "temperature"
    POWER = "power"
    MEMORY = "memory"
    TOKENS = "tokens"
    ENERGY = "energy"


class Metric(StrEnum):
    """Temperature, power and memory in use are measured; the others are counted, and add up."""

    TEMPERATURE = "temperature"
    POWER = "power"
    MEMORY = "memory"
    ENERGY = "energy"
    PROMPT_TOKENS = "prompt_tokens"
    GENERATED_TOKENS = "generated_tokens"
    UNKNOWN_ANSWERS = "unknown_answers"

    @property
    def unit(self) -> str:
        return UNITS.get(self, "tokens")

    @property
    def is_counted(self) -> bool:
        return self not in (Metric.TEMPERATURE, Metric.POWER, Metric.MEMORY)


UNITS = {
    Metric.TEMPERATURE: "°C",
    Metric.POWER: "W",
    Metric.MEMORY: "bytes",
    Metric.ENERGY: "Wh",
    Metric.UNKNOWN_ANSWERS: "answers",
}


METRICS: Mapping[What, tuple[Metric, ...]] = {
    What.TEMPERATURE: (Metric.TEMPERATURE,),
    What.POWER: (Metric.POWER,),
    What.MEMORY: (Metric.MEMORY,),
    What.TOKENS: (Metric.PROMPT_TOKENS, Metric.GENERATED_TOKENS, Metric.UNKNOWN_ANSWERS),
    What.ENERGY: (Metric.ENERGY,),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One step. ``samples`` are at least one; ``mean`` is over time, ``total`` what was counted. Of what is
    counted there are no others, of what is measured no ``total``."""

    samples: int
    lowest: float | None = None
    mean: float | None = None
    highest: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """``subject`` is the id of a GPU, ``host``, or the name of a launch; ``name`` is what people call it.
    ``points``: one for each step, ``None`` where there was no sample. ``lowest``, ``mean`` and ``highest``
    are those of the window; of what is counted those of its steps."""

    metric: Metric
    subject: str
    name: str
    unit: str
    points: tuple[Point | None, ...]
    lowest: float | None = None
    mean: float | None = None
    highest: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """The hottest moment: in the ``within_s`` from ``at_s`` (epoch) on."""

    name: str
    temperature_c: float
    at_s: int
    within_s: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the window. ``unknown_answers`` are those whose tokens nobody told. ``energy_wh`` is by the name of
    a device, or of the one launch that was asked for; what is not known is left out, or ``None``."""

    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    unknown_answers: int | None = None
    energy_wh: Mapping[str, float] = field(default_factory=dict)
    hottest: Peak | None = None


@dataclass(frozen=True, slots=True)
class History:
    """From ``since_s`` (epoch) on, in steps of ``step_s``, the last of which has not ended. While the daemon
    runs, samples are at most ``sampled_every_s`` apart. ``recorded_since_s`` is the oldest that is kept,
    ``None`` where nothing is; ``paused``: why nothing is recorded now."""

    since_s: int
    until_s: int
    step_s: int
    sampled_every_s: float
    recorded_since_s: int | None = None
    paused: str | None = None
    series: tuple[Series, ...] = ()
    summary: Summary = field(default_factory=Summary)
