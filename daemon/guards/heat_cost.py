"""What the relief of a hot device cost: watts and tokens a second, before and since."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from daemon.launches.launch import Launch
from domain.errors import EngineError
from domain.units import duration, rate
from launchers.liveness import Look

GENERATED = re.compile(
    r"^(?:llamacpp:tokens_predicted_total|vllm:generation_tokens_total)(?:\{[^}\n]*\})? ([0-9.e+]{1,20})$"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Samples between two times: ``tokens`` were generated in ``elapsed_s``."""

    elapsed_s: float = 0.0
    tokens: float = 0.0
    watts: tuple[float, ...] = ()

    def with_sample(self, elapsed_s: float, tokens: float, watts: float | None) -> "Span":
        more = self.watts if watts is None else (*self.watts[-99:], watts)
        return Span(self.elapsed_s + elapsed_s, self.tokens + tokens, more)

    @property
    def tokens_per_s(self) -> float | None:
        return self.tokens / self.elapsed_s if self.elapsed_s else None

    @property
    def mean_w(self) -> float | None:
        return sum(self.watts) / len(self.watts) if self.watts else None


@dataclass(frozen=True, slots=True)
class Cost:
    """``counted``: the tokens of each engine so far, by its launch; ``began_s``: when the relief began."""

    at_s: float | None = None
    counted: dict[str, float] = field(default_factory=dict)
    before: Span = field(default_factory=Span)
    since: Span = field(default_factory=Span)
    began_s: float | None = None

    def after(
        self, now_s: float, counted: dict[str, float], watts: float | None, *, relieved: bool
    ) -> "Cost":
        elapsed_s = 0.0 if self.at_s is None else now_s - self.at_s
        tokens = sum(max(0.0, count - self.counted.get(name, count)) for name, count in counted.items())
        began_s = now_s if relieved and self.began_s is None else self.began_s
        seen = replace(self, at_s=now_s, counted=counted, began_s=began_s)
        if self.began_s is None:  # what passed since the sample before was not relieved yet
            return replace(seen, before=self.before.with_sample(elapsed_s, tokens, watts))
        return replace(seen, since=self.since.with_sample(elapsed_s, tokens, watts))

    def in_words(self, now_s: float) -> str:
        """Empty where nothing is known."""
        before, since = self.before, self.since
        parts = [] if self.began_s is None else [f"for {duration(now_s - self.began_s)}"]
        if before.mean_w is not None and since.mean_w is not None:
            parts.append(f"{since.mean_w:.0f} W, {before.mean_w:.0f} W before")
        if before.tokens_per_s is not None and since.tokens_per_s is not None:
            parts.append(f"{rate(since.tokens_per_s)} tokens/s, {rate(before.tokens_per_s)} before")
        return "; ".join(parts)


async def tokens_of(launches: Iterable[Launch]) -> dict[str, float]:
    """What each engine has generated so far, as far as it tells."""
    running = [(launch.name, launch.process) for launch in launches if launch.process is not None]
    looks = await asyncio.gather(*(process.look() for _, process in running), return_exceptions=True)
    found = {}
    for (name, _), look in zip(running, looks, strict=True):
        if isinstance(look, BaseException) and not isinstance(look, EngineError):
            raise look
        if isinstance(look, Look) and look.activity is not None:
            counts = generated(look.activity.counters)
            if counts is not None:
                found[name] = counts
    return found


def generated(counters: Sequence[str]) -> float | None:
    found = [float(match[1]) for line in counters if (match := GENERATED.match(line))]
    return sum(found) if found else None
