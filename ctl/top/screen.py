"""The screen as lines, each with its style: what fits of launches, devices and events. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ctl.show.formatting import table
from ctl.show.launches import DROPPED_FIRST, RIGHT_ALIGNED, STYLES, context_cell
from ctl.top.reading import Reading
from domain.launches.launch import LaunchRow
from domain.machine.budget import DeviceBudget
from domain.machine.hardware import Gpu, Hardware
from domain.text import printable
from domain.units import duration, gib, rate

Line = tuple[str, str]

BAR = 24
OURS, OTHERS, FREE = "#", "+", "."
LEGEND = f"{OURS} models  {OTHERS} other programs  {FREE} free"
HEADS = ("NAME", "STATE", "QUANT", "CONTEXT", "TOKENS/S", "LAST MIN", "ACTIVE", "QUEUE")
RIGHT = RIGHT_ALIGNED | {"LAST MIN", "ACTIVE", "QUEUE"}
LEVEL_STYLES = {"warning": "yellow", "error": "red"}
LEAST_EVENTS = 3


def screen(reading: Reading, width: int, height: int) -> list[Line]:
    """At most ``height`` lines of at most ``width`` columns: launches first, events in what is left."""
    head = [(_title(reading), "bold"), ("", "")]
    devices = [("", ""), *_devices(reading, width)]
    room = height - len(head) - len(devices) - LEAST_EVENTS - 2
    launches = _launches(reading, width, max(room, 2))
    used = len(head) + len(launches) + len(devices)
    events = [("", ""), *_events(reading.events, max(0, height - used - 1))]
    lines = [*head, *launches, *devices, *events][:height]
    return [(printable(text)[:width], style) for text, style in lines]


def _title(reading: Reading) -> str:
    status = reading.status
    counts = ", ".join(f"{count} {state}" for state, count in status["launches"].items() if count)
    words = [
        f"node-daemon {status['version']}",
        f"up {duration(status['uptime_s'])}",
        counts or "no launches",
    ]
    words += [f"{status['gateway']}/v1"] if status.get("gateway") else []
    return "  ".join(words)


def _launches(reading: Reading, width: int, most: int) -> list[Line]:
    """The table, with a line for the problem of each launch that has one."""
    if not reading.rows:
        return [("no launches: start one with node-ctl launch MODEL", "")]
    cells = [_cells(row, reading) for row in reading.rows]
    head, *rows = table(cells, HEADS, width, right=RIGHT, dropped_first=("LAST MIN", *DROPPED_FIRST))
    lines: list[Line] = [(text, "bold") for text in head]
    for row, texts in zip(reading.rows, rows, strict=True):
        lines += [(text, STYLES.get(row.state, "")) for text in texts]
        problem = row.last_error or row.reduced or (row.waiting and f"waits for {row.waiting}")
        lines += [(f"  {problem}", "yellow")] if problem else []
    if len(lines) > most:
        lines = [*lines[: most - 1], ("  and more: node-ctl ps", "dim")]
    return lines


def _cells(row: LaunchRow, reading: Reading) -> dict[str, str]:
    def count(name: str) -> str:
        value = None if reading.figures is None else reading.figures.total(name, model=row.name)
        return "" if reading.figures is None else f"{value or 0:.0f}"

    recent = reading.tokens_per_s.get(row.name)
    return {
        "NAME": row.name,
        "STATE": str(row.state),
        "QUANT": row.quant or "",
        "CONTEXT": context_cell(row),
        "TOKENS/S": "" if row.decode_tokens_per_s is None else rate(row.decode_tokens_per_s),
        "LAST MIN": "" if recent is None else rate(recent),
        "ACTIVE": count("requests_in_flight"),
        "QUEUE": count("queue_depth"),
    }


def _devices(reading: Reading, width: int) -> Iterator[Line]:
    gpus = {f"GPU{index}": gpu for index, gpu in enumerate(reading.hardware.gpus)}
    yield f"{'DEVICE':<8}  {'MEMORY':<{BAR}}  {LEGEND}"[:width], "bold"
    for one in reading.budgets:
        words = [f"{one.device:<8}", bar(one, BAR), f"{gib(one.free_bytes)} free of {gib(one.total_bytes)}"]
        gpu = gpus.get(one.device)
        yield "  ".join([*words, *(_gpu(gpu) if gpu else _host(reading.hardware))]), _heat_style(gpu)


def bar(one: DeviceBudget, width: int) -> str:
    """``#####++......``: models, other programs, free; blanks where the sizes are not known."""
    if not one.total_bytes or one.free_bytes is None:
        return " " * width
    used = min(max(one.total_bytes - one.free_bytes, 0), one.total_bytes)
    filled = round(width * used / one.total_bytes)
    theirs = min(round(width * (one.others_bytes or 0) / one.total_bytes), filled)
    if one.shares and theirs == filled > 0:
        theirs -= 1  # a model too small for a character has one
    return OURS * (filled - theirs) + OTHERS * theirs + FREE * (width - filled)


def _gpu(gpu: Gpu) -> Iterator[str]:
    if gpu.asleep:
        yield "asleep"
    if gpu.temperature_c is not None:
        yield f"{gpu.temperature_c:.0f} C"
    if gpu.power_w is not None:
        yield f"{gpu.power_w:.0f} W"
    yield gpu.name


def _host(hardware: Hardware) -> Iterator[str]:
    known = [one.temperature_c for one in hardware.thermals if one.temperature_c is not None]
    if known:
        yield f"{max(known):.0f} C at the hottest sensor"


def _heat_style(gpu: Gpu | None) -> str:
    return "red" if gpu is not None and gpu.throttled_by else ""


def _events(events: Sequence[Mapping[str, Any]], most: int) -> list[Line]:
    """The last ones that fit, the newest at the bottom."""
    if most < 1:
        return []
    shown = events[-(most - 1) :] if most > 1 else []
    lines = [(_event(event), LEVEL_STYLES.get(event["level"], "")) for event in shown]
    return [("EVENTS", "bold"), *(lines or [("none yet", "")])][:most]


def _event(event: Mapping[str, Any]) -> str:
    try:
        at = datetime.fromisoformat(event["at"]).astimezone().strftime("%H:%M:%S")
    except ValueError:
        at = str(event["at"])
    return f"{at}  {event['kind']:<16}  {event['message']}"
