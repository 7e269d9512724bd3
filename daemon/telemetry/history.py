"""The history of hours to months, read in steps that fit a screen."""

import time
from dataclasses import replace

from daemon.app import App
from daemon.state.telemetry.buckets import choose
from daemon.state.telemetry.database import TelemetryDatabase, Window
from daemon.telemetry import series
from daemon.telemetry.recorder import flush
from daemon.telemetry.subjects import Asked, Subjects, check, known, select
from domain.errors import UsageError
from domain.telemetry import History, Peak, What


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
    found = await telemetry.run(lambda file: _read(file, window, what, wanted, subjects, asked.launch))
    every_s = max(app.settings.sample_interval_s, app.settings.probe_interval_s)
    return replace(found, sampled_every_s=every_s, paused=telemetry.paused)


def window_of(asked: Asked, now_s: float) -> Window:
    """Whole steps, of which the first begins at or before what is asked for."""
    resolution, step_s = choose(asked.since_s, asked.points - 1)
    since_s = int(now_s - asked.since_s) // step_s * step_s
    until_s = (int(now_s) // step_s + 1) * step_s
    return Window(since_s, until_s, step_s, resolution)


def _read(
    file: TelemetryDatabase,
    window: Window,
    what: What | None,
    wanted: list[str],
    subjects: Subjects,
    launch: str | None,
) -> History:
    """Blocks: of all that is kept a tenth of a second. The energy that is summed up is that of devices, or of
    whom a ``launch`` was asked for with."""
    found, names = series.by_series(file.rows(window), wanted), subjects.names
    devices = [subject for subject in wanted if subject in subjects.devices]
    points = (window.until_s - window.since_s) // window.step_s
    summary = series.summarise(found, devices if launch is None else wanted, names)
    hottest = file.hottest(window, devices) if devices else None
    if hottest is not None:
        subject, at_s, temperature_c = hottest
        summary = replace(
            summary, hottest=Peak(names[subject], temperature_c, at_s, window.resolution.step_s)
        )
    return History(
        since_s=window.since_s,
        until_s=window.until_s,
        step_s=window.step_s,
        sampled_every_s=0.0,
        recorded_since_s=file.oldest_s(),
        series=series.build(found, what, wanted, names, points),
        summary=summary,
    )
