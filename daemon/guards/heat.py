"""Relieves devices that are hot: fewer requests, pauses, models unloaded. Tells what it did and cost."""

from collections.abc import Iterable

from daemon.app import App
from daemon.guards import heat_limits
from daemon.guards.heat_cost import Cost, tokens_of
from daemon.guards.heat_policy import Heat, Level, Reading, after_reading, parallel
from daemon.guards.usage import devices_of, launches_on
from daemon.launches.launch import Launch
from domain.events import EventKind
from domain.machine.hardware import Problem
from domain.machine.sample import Sample

HOLDER = "heat"
PAUSE_S = 5.0
WARM_C = 5.0  # below the soft limit its power and tokens are noted, to tell later what the relief cost
DONE = {
    Level.PARALLEL: "half as many requests at a time",
    Level.PAUSE: f"one request at a time, and {PAUSE_S:g} s of rest after each",
    Level.UNLOAD: "only its most valuable model stays loaded",
    Level.STOP: "its models are unloaded until it is cool",
}


class HeatGuard:
    """``Heat`` and ``Cost`` by the id of the device."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._heat: dict[str, Heat] = {}
        self._costs: dict[str, Cost] = {}
        self._readings: dict[str, Reading] = {}

    async def on_sample(self, sample: Sample) -> None:
        settings = self._app.settings
        found = heat_limits.readings(
            sample.hardware, soft_c=settings.heat_soft_c, hard_c=settings.heat_hard_c
        )
        for device, reading in found:
            before = self._heat.get(device, Heat())
            heat = self._heat[device] = after_reading(before, reading, sample.monotonic_s)
            self._readings[device] = reading
            await self._note_cost(device, reading, heat.level or before.level, sample)
            if heat.level is not before.level:
                await self._tell(device, reading, before.level, heat, sample.monotonic_s)
        self._apply(sample)

    async def _note_cost(self, device: str, reading: Reading, level: Level, sample: Sample) -> None:
        is_warm = reading.temperature_c >= reading.limits.soft_c - WARM_C
        if not level and not is_warm:
            self._costs.pop(device, None)
            return
        tokens = await tokens_of(launches_on(self._app, device, sample.hardware))
        cost = self._costs.get(device, Cost())
        watts = _watts(device, sample)
        self._costs[device] = cost.after(sample.monotonic_s, tokens, watts, relieved=bool(level))

    async def _tell(self, device: str, reading: Reading, before: Level, heat: Heat, now_s: float) -> None:
        where = f"{reading.name} is at {reading.temperature_c:.0f} °C"
        problems, key = self._app.guards.problems, f"{HOLDER} {device}"
        if heat.level is Level.NONE:
            problems.pop(key, None)
            cost = self._costs.pop(device, Cost()).in_words(now_s)
            most = f"{heat.peak_c:.0f} °C at most" if heat.peak_c is not None else ""
            ended = "; ".join(filter(None, (most, cost)))
            await self._app.events.append(EventKind.COOL, f"{where}, and all is as before ({ended})")
            return
        limits = reading.limits
        limit = f"limits {limits.soft_c:.0f} and {limits.hard_c:.0f} °C"
        words = f"{where} ({limit}{', throttled' if reading.throttled else ''}): {DONE[heat.level]}"
        problems[key] = Problem(HOLDER, words, "node-ctl doctor --check heat says what helps")
        kind = EventKind.HOT if heat.level > before else EventKind.COOLER
        await self._app.events.append(kind, words)

    def _apply(self, sample: Sample) -> None:
        """At each sample: a launch that began since is relieved, too."""
        held = {name: reading for reading, names in self._unloaded(sample) for name in names}
        for launch in self._app.launches.values():
            levels = [self._level(device) for device in devices_of(launch, sample.hardware)]
            self._throttle(launch, max(levels, default=Level.NONE))
            if (reading := held.get(launch.name)) is not None:
                launch.orders.hold(HOLDER, f"{reading.name} to cool")
            else:
                launch.orders.release(HOLDER)

    def _unloaded(self, sample: Sample) -> Iterable[tuple[Reading, list[str]]]:
        for device, heat in self._heat.items():
            if heat.level >= Level.UNLOAD:
                names = [launch.name for launch in launches_on(self._app, device, sample.hardware)]
                yield self._readings[device], names if heat.level is Level.STOP else names[:-1]

    def _level(self, device: str) -> Level:
        return self._heat.get(device, Heat()).level

    def _throttle(self, launch: Launch, level: Level) -> None:
        own = None if launch.plan is None else launch.plan.max_requests
        most, pause_s = parallel(level, own), PAUSE_S if level >= Level.PAUSE else 0.0
        if (launch.throttle.parallel, launch.throttle.pause_s) != (most, pause_s):
            launch.throttle.limit_parallel(most)
            launch.throttle.pause(pause_s)


def _watts(device: str, sample: Sample) -> float | None:
    if device == heat_limits.CPU:
        return sample.hardware.cpu.power_w
    return next((gpu.power_w for gpu in sample.hardware.gpus if gpu.id == device), None)
