"""What is recorded of whom: names that people use for devices and launches, and errors for others. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.telemetry.meter import LAUNCH, launch_subject
from domain.errors import UsageError
from domain.launches.plan import HOST
from domain.machine.hardware import Gpu
from domain.suggestions import near
from domain.telemetry import DAY_S, KEPT_S, What

OF_LAUNCHES, OF_DEVICES = (What.TOKENS,), (What.TEMPERATURE, What.POWER, What.MEMORY)


@dataclass(frozen=True, slots=True)
class Asked:
    """``what`` is all there is where it is ``None``, and so are ``device`` and ``launch``."""

    what: str | None = None
    since_s: float = DAY_S
    device: str | None = None
    launch: str | None = None
    points: int = 96


@dataclass(frozen=True, slots=True)
class Subjects:
    """Names by subject. ``gpus`` are those that there are now, in the order of their numbers."""

    devices: Mapping[str, str]
    launches: Mapping[str, str]
    gpus: Sequence[str] = ()

    @property
    def names(self) -> dict[str, str]:
        return {**self.devices, **self.launches}


def known(stored: Iterable[tuple[str, str]], gpus: Sequence[Gpu], launches: Iterable[str]) -> Subjects:
    """``stored`` are subjects of the file with their names. A GPU that is gone is called by its id, too."""
    rows = dict(stored)
    devices = {gpu.id: f"GPU{index} {gpu.name}" for index, gpu in enumerate(gpus)}
    gone = {
        subject: f"{name} ({subject})"
        for subject, name in sorted(rows.items())
        if not subject.startswith(LAUNCH) and subject not in (HOST, *devices)
    }
    named = {subject: name for subject, name in rows.items() if subject.startswith(LAUNCH)}
    named |= {launch_subject(name): name for name in launches}
    ordered = dict(sorted(named.items()))
    return Subjects({**devices, HOST: HOST, **gone}, ordered, tuple(gpu.id for gpu in gpus))


def check(asked: Asked) -> What | None:
    """Raises: UsageError for what is not recorded, or not for so long, or not of whom it was asked for."""
    what = None if asked.what is None else _named(asked.what)
    if asked.since_s > KEPT_S:
        days = asked.since_s / DAY_S
        message = f"telemetry is kept for {KEPT_S // DAY_S} days, and {days:g} were asked for"
        raise UsageError(message, hint=f"--since {KEPT_S // DAY_S}d is all there is")
    if what in OF_LAUNCHES and asked.device is not None and asked.launch is None:
        raise UsageError(f"{what} is recorded of launches, not of devices", hint="ask with --launch NAME")
    if what in OF_DEVICES and asked.launch is not None and asked.device is None:
        hint = "ask with --device, or for tokens or energy"
        raise UsageError(f"{what} is recorded of devices, not of launches", hint=hint)
    return what


def select(asked: Asked, subjects: Subjects) -> list[str]:
    """The subjects that are asked for. Raises: UsageError with those that there are."""
    if asked.device is None and asked.launch is None:
        return list(subjects.names)
    devices = [] if asked.device is None else [_device(asked.device, subjects)]
    return devices + ([] if asked.launch is None else [_launch(asked.launch, subjects)])


def _named(text: str) -> What:
    try:
        return What(text)
    except ValueError:
        raise UsageError(
            f"nothing that is recorded is called {text!r}", hint=_there_are(text, What)
        ) from None


def _device(text: str, subjects: Subjects) -> str:
    """By ``GPU0``, its id, or ``host``; the CPU is that of the host."""
    short = {f"gpu{index}": gpu_id for index, gpu_id in enumerate(subjects.gpus)} | {"cpu": HOST}
    key = text.casefold()
    found = short.get(key) or next((one for one in subjects.devices if one.casefold() == key), None)
    if found is None:
        names = [
            name.partition(" ")[0] if one in subjects.gpus else one for one, name in subjects.devices.items()
        ]
        raise UsageError(f"no device is called {text!r}", hint=_there_are(text, names))
    return found


def _launch(text: str, subjects: Subjects) -> str:
    if launch_subject(text) not in subjects.launches:
        names = list(subjects.launches.values())
        hint = _there_are(text, names) if names else "nothing was launched in that time"
        raise UsageError(f"nothing is recorded of a launch called {text!r}", hint=hint)
    return launch_subject(text)


def _there_are(text: str, names: Iterable[str]) -> str:
    """All of them, and first what may have been meant."""
    listed = list(map(str, names))
    all_of_them = f"there {'is only' if len(listed) == 1 else 'are'} {', '.join(listed)}"
    meant = near(text, listed)
    return f"did you mean {meant[0]}? T{all_of_them[1:]}" if meant else all_of_them
