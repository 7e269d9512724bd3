"""The speed of a model over time, and why it is slower than it was. Pure: measurements in, words out."""

from dataclasses import dataclass

from domain.machine.hardware import Gpu, Hardware
from domain.units import gib, rate

DRIFT = 2 / 3  # of the model's own speed: below it an engine is slow
RECOVERED = 0.8
DRIFT_S = 600.0
BROKEN = 0.2  # of the speed at its own start: below it, an engine that nothing outside slows is restarted
WEIGHT = 20  # measurements that the average remembers
HOT_C = 5.0  # below its limit
SWAPPED_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Pace:
    """Decode speed of a model with one build on this machine: the average of ``count`` measurements that were
    not slow. Stored."""

    tokens_per_s: float
    count: int = 1

    def with_measured(self, tokens_per_s: float) -> "Pace":
        if tokens_per_s < DRIFT * self.tokens_per_s:
            return self
        count = min(self.count + 1, WEIGHT)
        return Pace(self.tokens_per_s + (tokens_per_s - self.tokens_per_s) / count, count)


@dataclass(frozen=True, slots=True)
class Drift:
    """``slow_s``: since when it is slow; ``told``: its owner knows."""

    slow_s: float | None = None
    told: bool = False


def after_measured(drift: Drift, pace: Pace, tokens_per_s: float, at_s: float) -> Drift:
    """The caller tells what becomes ``told``, or is no longer."""
    if tokens_per_s >= (RECOVERED if drift.told else DRIFT) * pace.tokens_per_s:
        return Drift()
    slow_s = at_s if drift.slow_s is None else drift.slow_s
    return Drift(slow_s, told=drift.told or at_s - slow_s >= DRIFT_S)


def is_broken(start_tokens_per_s: float | None, tokens_per_s: float | None, cause: str | None) -> bool:
    """Whether only the engine itself can be the reason that it is that slow."""
    if start_tokens_per_s is None or tokens_per_s is None or cause is not None:
        return False
    return tokens_per_s < BROKEN * start_tokens_per_s


def in_words(pace: Pace, tokens_per_s: float, cause: str | None) -> str:
    lost = 100 * (1 - tokens_per_s / pace.tokens_per_s)
    why = f"likely cause: {cause}" if cause else "no cause is known"
    return f"{rate(tokens_per_s)} tokens/s, {lost:.0f} % less than its own {rate(pace.tokens_per_s)}; {why}"


def likely_cause(before: Hardware | None, now: Hardware | None, cpu_stalled: float | None) -> str | None:
    """What has changed on the machine since ``before``, or holds it back now; the likeliest first."""
    if now is None:
        return None
    gpus = {gpu.id: gpu for gpu in (before.gpus if before else ())}
    for gpu in now.gpus:
        if (cause := _of_gpu(gpus.get(gpu.id), gpu)) is not None:
            return cause
    counts = None if before is None else before.cpu.throttled_count, now.cpu.throttled_count
    if counts[0] is not None and counts[1] is not None and counts[1] > counts[0]:
        return f"heat: the CPU was throttled{_degrees(now.cpu.temperature_c)}"
    if (swapped := _swapped_bytes(now) - _swapped_bytes(before or now)) >= SWAPPED_BYTES:
        return f"swap: {gib(swapped)} more are swapped out"
    if cpu_stalled is not None and cpu_stalled >= 1 - DRIFT:
        return f"other processes: tasks wait for a CPU {100 * cpu_stalled:.0f} % of the time"
    return None


def _of_gpu(before: Gpu | None, now: Gpu) -> str | None:
    if now.throttled_by:
        return f"{now.name} is held down by {', '.join(now.throttled_by)}{_degrees(now.temperature_c)}"
    if now.temperature_margin_c is not None and now.temperature_margin_c <= HOT_C:
        return f"heat: {now.name} is at its limit{_degrees(now.temperature_c)}"
    if before is None:
        return None
    if now.power_limit_w and before.power_limit_w and now.power_limit_w < before.power_limit_w:
        return f"the power limit of {now.name} is {now.power_limit_w:.0f} W, was {before.power_limit_w:.0f} W"
    width, was = _lanes(now), _lanes(before)
    if width and was and width < was:
        return f"the PCIe link of {now.name} has {width} lanes, had {was}"
    known = {tenant.pid for tenant in before.tenants or ()}
    new = [tenant for tenant in now.tenants or () if tenant.pid not in known]
    names = ", ".join(sorted({tenant.name or f"pid {tenant.pid}" for tenant in new}))
    return f"another process uses {now.name}: {names}" if new else None


def _lanes(gpu: Gpu) -> int | None:
    """Idle links drop to a slower generation, but keep their width."""
    return None if gpu.link is None else gpu.link.width_now


def _degrees(temperature_c: float | None) -> str:
    return "" if temperature_c is None else f" ({temperature_c:.0f} °C)"


def _swapped_bytes(machine: Hardware) -> int:
    memory = machine.memory
    return (memory.swap_total_bytes or 0) - (memory.swap_free_bytes or 0)
