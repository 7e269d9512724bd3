"""From words to times: "every night at 2:30", "weekdays 23:00-07:00", or cron itself. Pure."""

import re
from datetime import datetime

from cronsim import CronSim, CronSimError

from domain.errors import UsageError
from domain.launches.schedule import When

HINT = 'such as "every night at 2:30", "weekdays 23:00-07:00", "mon-fri at 8am" or cron: "30 2 * * *"'
MAX_CHARS = 200
CRON_FIELD = re.compile(r"[\w*,/#-]{1,60}")
# Of text whose words have one space between them:
CLOCK = r"(?:\d{1,2}:\d{2} ?(?:[ap]m)?|\d{1,2} ?[ap]m|noon|midnight)"
TIMES = re.compile(rf"\b(?P<begin>{CLOCK})(?: ?(?:-|to|until|and) ?(?P<end>{CLOCK}))?$")
BEFORE_TIMES = re.compile(r"(?:^| )(?:at|from|between)$")
THROUGH = re.compile(r" ?(?:-|\bto\b|\bthrough\b) ?")
EVERY = re.compile(r"(?:every|each) (?:(?P<count>\d{1,2}) )?(?P<unit>hour|minute)s?")
OF_MONTH = re.compile(
    r"(?:on )?(?:the )?(?P<day>\d{1,2})(?:st|nd|rd|th)?(?: day)?(?: of (?:each|every|the) month)"
)
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
ALL = frozenset(range(7))
GROUPS = {
    **dict.fromkeys(("day", "night", "morning", "evening", "daily", "nightly"), ALL),
    "weekday": frozenset({1, 2, 3, 4, 5}),
    "weekend": frozenset({6, 0}),
}


def parse(words: str) -> When:
    """Raises: UsageError."""
    if len(words) > MAX_CHARS:
        raise UsageError(f"a time has at most {MAX_CHARS} characters, not {len(words)}", hint=HINT)
    text = " ".join(words.replace("\N{EN DASH}", "-").split())
    if _is_cron(text.split()):
        return When(_checked(text, words))
    lowered = " ".join(text.lower().replace(",", " ").split())
    if lowered == "hourly" or (found := EVERY.fullmatch(lowered)):
        return When(_interval("hour", 1) if lowered == "hourly" or not found else _of_match(found, words))
    found = TIMES.search(lowered)
    if found is None:
        raise UsageError(f"{words!r} has no time of the day", hint=HINT)
    begin, end = _clock(found["begin"], words), found["end"] and _clock(found["end"], words)
    if begin == end:
        raise UsageError(f"{words!r} begins and ends at the same time", hint=HINT)
    day_of_month, weekdays = _days(BEFORE_TIMES.sub("", lowered[: found.start()].strip()), words)
    if not end:
        return When(_checked(_cron(begin, day_of_month, weekdays), words))
    is_overnight = end < begin
    if is_overnight and day_of_month != "*":
        raise UsageError(f"{words!r} goes over midnight on a day of the month", hint="end it before midnight")
    ends_on = {(day + is_overnight) % 7 for day in weekdays}
    return When(
        _checked(_cron(begin, day_of_month, weekdays), words),
        _checked(_cron(end, day_of_month, ends_on), words),
    )


def _is_cron(fields: list[str]) -> bool:
    return len(fields) == 5 and fields[0][0] in "0123456789*" and all(map(CRON_FIELD.fullmatch, fields))


def _of_match(found: re.Match[str], words: str) -> str:
    count, whole = int(found["count"] or 1), {"hour": 24, "minute": 60}[found["unit"]]
    if not count or whole % count:
        raise UsageError(
            f"{words!r}: {count} does not divide {whole}, so the last step would be shorter", hint=HINT
        )
    return _interval(found["unit"], count)


def _interval(unit: str, count: int) -> str:
    step = "*" if count == 1 else f"*/{count}"
    return f"{step} * * * *" if unit == "minute" else f"0 {step} * * *"


def _clock(text: str, words: str) -> tuple[int, int]:
    """Hour and minute. Raises: UsageError."""
    named = {"noon": (12, 0), "midnight": (0, 0)}
    if text in named:
        return named[text]
    half = text[-2:] if text.endswith("m") else ""
    hour, _, minute = text.removesuffix(half).strip().partition(":")
    found = int(hour), int(minute or 0)
    possible = range(1, 13) if half else range(24)
    if found[0] not in possible or found[1] > 59:
        raise UsageError(f"{words!r}: {text} is no time of the day", hint=HINT)
    return (found[0] % 12 + 12 * (half == "pm"), found[1]) if half else found


def _days(text: str, words: str) -> tuple[str, set[int]]:
    """The day of the month for cron, and the days of the week. Raises: UsageError."""
    if found := OF_MONTH.fullmatch(text):
        return found["day"], set(ALL)
    if text in ("every month", "monthly"):
        return "1", set(ALL)
    listed = THROUGH.sub("-", text)
    names = [name for name in listed.split() if name not in ("every", "each", "on", "and", "the")]
    days: set[int] = set() if names else set(ALL)
    for name in names:
        first, _, last = name.partition("-")
        if last:
            begin, end = _weekday(first, words), _weekday(last, words)
            days |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
        elif (group := GROUPS.get(first.removesuffix("s"))) is not None:
            days |= group
        else:
            days.add(_weekday(first, words))
    return "*", days


def _weekday(name: str, words: str) -> int:
    """Raises: UsageError."""
    for number, day in enumerate(DAYS):
        if name.removesuffix("s") == day or name in (day[:3], day[:4]):
            return number
    raise UsageError(f"{words!r}: {name!r} is no day that is known", hint=HINT)


def _cron(clock: tuple[int, int], day_of_month: str, weekdays: set[int]) -> str:
    of_week = "*" if len(weekdays) == len(DAYS) else ",".join(map(str, sorted(weekdays)))
    return f"{clock[1]} {clock[0]} {day_of_month} * {of_week}"


def _checked(cron: str, words: str) -> str:
    """Raises: UsageError."""
    try:
        next(CronSim(cron, datetime(2026, 1, 1)))  # noqa: DTZ001 - any moment
    except (CronSimError, StopIteration) as error:
        raise UsageError(
            f"{words!r} is no time: {str(error).lower() or 'it never comes'}", hint=HINT
        ) from error
    return cron
