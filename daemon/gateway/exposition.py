"""``/metrics`` in Prometheus' text format: requests, launches, and devices as the last snapshot has them.

Nothing is measured for it: a scrape wakes no sleeping GPU. What is not known is left out.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daemon.gateway.listener.exchange import Exchange
from daemon.gateway.metrics import Histogram
from daemon.launches.launch import Launch
from domain.launches.launch import LaunchState
from domain.machine.hardware import Hardware

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX = "node_daemon_"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


async def metrics(exchange: Exchange) -> None:
    """The library is loaded by the first scrape: a daemon that nobody scrapes does not hold it."""
    content = await asyncio.to_thread(_text, exchange)
    await exchange.send_bytes(content, status=200, headers=[(b"content-type", TEXT)])


def _text(exchange: Exchange) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see above

    registry = CollectorRegistry()
    registry.register(_Collector(exchange))
    return generate_latest(registry)


class _Collector:
    def __init__(self, exchange: Exchange) -> None:
        self._gateway = exchange.gateway

    def collect(self) -> "Iterator[Metric]":
        yield from self._requests()
        yield from self._launches()
        cache = self._gateway.app.hardware_cache
        if cache.hardware is not None:
            age_s = time.monotonic() - cache.began_s
            yield _gauge("snapshot_age_seconds", "Age of the figures of devices.", (), {(): age_s})
            yield from _devices(cache.hardware)

    def _requests(self) -> "Iterator[Metric]":
        found = self._gateway.metrics
        counted = {(*key[:2], str(key[2])): float(value) for key, value in found.requests.copy().items()}
        yield _counter("requests", "Requests that have ended.", ("model", "protocol", "status"), counted)
        for name, text, values in (
            ("prompt_tokens", "Tokens of prompts, those from the cache too.", found.prompt_tokens),
            ("cached_prompt_tokens", "Tokens of prompts that were in the cache.", found.cached_tokens),
            ("generated_tokens", "Tokens that were generated.", found.answer_tokens),
        ):
            yield _counter(name, text, ("model",), _by_model(values))
        in_flight = _by_model(found.in_flight)
        yield _gauge("requests_in_flight", "Requests that are answered now.", ("model",), in_flight)
        held = {(): float(self._gateway.engines.hold.held)}
        yield _gauge("requests_waiting", "Requests that wait for a model that starts.", (), held)
        turns = self._gateway.engines.turns
        depths = {key: float(value) for key, value in turns.depths().items()}
        text = "Requests that wait for their turn at an engine."
        yield _gauge("queue_depth", text, ("model", "class"), depths)
        text = "Time that requests waited for their turn."
        yield _histogram("queue_wait_seconds", text, turns.waits, ("model", "class"))
        first = "Time to the first byte of an answer."
        yield _histogram("first_byte_seconds", first, _each_model(found.first_byte))
        each = "Mean time between the tokens of an answer that was streamed."
        yield _histogram("token_interval_seconds", each, _each_model(found.token_interval))
        last = "Time to the last byte of an answer."
        yield _histogram("request_seconds", last, _each_model(found.duration))

    def _launches(self) -> "Iterator[Metric]":
        launches = list(self._gateway.app.launches.values())
        states = {
            (launch.name, state.value): float(launch.state is state)
            for launch in launches
            for state in LaunchState
        }
        yield _gauge("launch_state", "1 for the state that a launch is in.", ("model", "state"), states)
        yield from _conversations(launches)
        restarts = {(launch.name,): float(launch.attempts.restarts) for launch in launches}
        yield _counter("launch_restarts", "Restarts of a launch's engine.", ("model",), restarts)


def _conversations(launches: Sequence[Launch]) -> "Iterator[Metric]":
    kept = {(one.name,): one.conversations.counts for one in launches if one.conversations is not None}
    for name, text in (
        ("requests", "Requests that belong to a conversation."),
        ("continued", "Those that went to the slot that had their conversation."),
        ("restored", "Conversations that were taken back from disk."),
        ("saved", "Conversations that were saved to disk."),
        ("saved_bytes", "Bytes of those."),
    ):
        counts = {key: float(getattr(found, name)) for key, found in kept.items()}
        yield _counter(f"conversation_{name}", text, ("model",), counts)


def _devices(hardware: Hardware) -> "Iterator[Metric]":
    memory = hardware.memory
    values: dict[str, dict[tuple[str, str], float | None]] = {
        "device_memory_total_bytes": {("host", "RAM"): memory.total_bytes},
        "device_memory_free_bytes": {("host", "RAM"): memory.available_bytes},
        "device_temperature_celsius": {},
        "device_power_watts": {},
    }
    for gpu in hardware.gpus:
        key = (gpu.id, gpu.name)
        values["device_memory_total_bytes"][key] = gpu.memory_total_bytes
        values["device_memory_free_bytes"][key] = gpu.memory_free_bytes
        values["device_temperature_celsius"][key] = gpu.temperature_c
        values["device_power_watts"][key] = gpu.power_w
    for name, found in values.items():
        known = {key: float(value) for key, value in found.items() if value is not None}
        text = f"{name.replace('_', ' ').capitalize()}, as last probed."
        yield _gauge(name, text, ("device", "name"), known)
    sensors = {(one.sensor,): float(one.temperature_c) for one in hardware.thermals}
    yield _gauge("sensor_temperature_celsius", "Temperature of a sensor.", ("sensor",), sensors)


def _by_model(values: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(model,): float(value) for model, value in dict(values).items()}


def _counter(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415 - loaded by now

    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - loaded by now

    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _each_model(values: Mapping[str, Histogram]) -> dict[tuple[str, ...], Histogram]:
    return {(model,): histogram for model, histogram in dict(values).items()}


def _histogram(
    name: str, text: str, values: Mapping[Any, Histogram], labels: tuple[str, ...] = ("model",)
) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - loaded by now

    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for key, histogram in dict(values).items():
        total, buckets = 0, []
        for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(key, buckets, histogram.total)
    return family
