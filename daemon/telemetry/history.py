"""The history of hours to months, read in steps that fit a screen."""

import time
from dataclasses import dataclass, replace

from daemon.app import App
from daemon.state.telemetry.buckets import choose
from daemon.state.telemetry.database import Row, TelemetryDatabase, Window
from daemon.telemetry import series
from daemon.telemetry.recorder import flush
from daemon.telemetry.subjects import Asked, Subjects, check, known, select
from domain.errors import UsageError
from domain.telemetry import History, Peak


@dataclass(frozen=True, slots=True)
class _Read:
    rows: list[Row]
    hottest: Peak | None
    oldest_s: int | None


async def history(app: App, asked: Asked, *, now_s: float | None = None) -> History:
    """Raises: UsageError; StateError for a disk that does not answer."""
    telemetry = app.telemetry
    if telemetry is None:
        hint = "set telemetry = true in the settings file, and restart the daemon"
        raise UsageError("nothing is recorded: the setting telemetry is false", hint=hint)
    what = check(asked)
    await flush(app)
    stored = await telemetry.run(TelemetryDatabase.subjects)
    latest = app.samples.latest
    subjects = known(
        ((subject, name) for _, subject, name in stored),
        () if latest is None else latest.hardware.gpus,
        app.launches,
    )
    wanted = select(asked, subjects)
    window = window_of(asked, time.time() if now_s is None else now_s)
    read = await telemetry.run(lambda file: _read(file, window, wanted, subjects))
    found, names = series.by_series(read.rows, wanted), subjects.names
    devices = [subject for subject in wanted if subject in subjects.devices]
    points = (window.until_s - window.since_s) // window.step_s
    summary = series.summarise(found, wanted if asked.launch else devices, names)
    return History(
        since_s=window.since_s,
        until_s=window.until_s,
        step_s=window.step_s,
        sampled_every_s=max(app.settings.sample_interval_s, app.settings.probe_interval_s),
        recorded_since_s=read.oldest_s,
        paused=telemetry.paused,
        series=series.build(found, what, wanted, names, points),
        summary=replace(summary, hottest=read.hottest),
    )


def window_of(asked: Asked, now_s: float) -> Window:
    """Whole steps, of which the first begins at or before what is asked for."""
    resolution, step_s = choose(asked.since_s, asked.points - 1)
    since_s = int(now_s - asked.since_s) // step_s * step_s
    until_s = (int(now_s) // step_s + 1) * step_s
    return Window(since_s, until_s, step_s, resolution)


def _read(file: TelemetryDatabase, window: Window, wanted: list[str], subjects: Subjects) -> _Read:
    """Blocks."""
    devices = [subject for subject in wanted if subject in subjects.devices]
    found = file.hottest(window, devices) if devices else None
    peak = None
    if found is not None:
        subject, at_s, temperature_c = found
        peak = Peak(subjects.devices[subject], temperature_c, at_s, window.resolution.step_s)
    return _Read(file.rows(window), peak, file.oldest_s())
