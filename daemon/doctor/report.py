"""One text with all that a bug report needs, and nothing that tells whose machine it is."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings
from daemon.app import log_path
from daemon.doctor.anonymize import anonymize_hardware
from daemon.doctor.checks.finding import NamedFinding
from daemon.doctor.checks.input import DoctorInput
from daemon.launches.log_tail import text_of
from daemon.status import VERSION
from domain.anonymize import Identifiers, anonymize_text
from domain.launch import LaunchState
from domain.serialization import to_json
from launchers.command import SECRET_NAME
from probes import identifiers, sysfs
from probes.system import systemd

EVENTS = 50
LOG_LINES = 60
LOG_BYTES = 64 * 1024  # of a log with long lines
HEAD = "# node-daemon report"


@dataclass(frozen=True, slots=True)
class Attached:
    """What goes along with the facts: settings by name, the last lines of logs by their file, the system."""

    settings: Mapping[str, Any]
    logs: Mapping[str, str]
    system: str
    identifiers: Identifiers


def read(settings: Settings, seen: DoctorInput) -> Attached:
    """Blocks. Logs are those of launches that failed or come back, and the daemon's own where it has one."""
    logs = [settings.state_dir / "node-daemon.log"]
    bad = (LaunchState.FAILED, LaunchState.DEGRADED)
    logs += [log_path(settings, one.name) for one in seen.launches or () if one.state in bad]
    written = {path.name: text for path in logs if (text := _tail(path))}
    if seen.unit is not None and (lines := systemd.read_journal(seen.unit.name, LOG_LINES)):
        written["the journal"] = lines
    return Attached(
        settings=settings.model_dump(mode="json"),
        logs=written,
        system=system(settings.sysroot),
        identifiers=identifiers.read_identifiers(settings.sysroot),
    )


def text(seen: DoctorInput, told: Sequence[NamedFinding], attached: Attached) -> str:
    """Markdown, ready to be pasted."""
    parts = [
        f"{HEAD}\n\nnode-daemon {VERSION}, Python {platform.python_version()}, {attached.system}, {seen.now}",
        _section("Findings", "\n".join(_finding(one) for one in told)),
        _section(
            "Settings",
            "\n".join(f"{name} = {_setting(name, value)}" for name, value in attached.settings.items()),
        ),
        _section("Launches", "\n".join(_launch(one) for one in to_json(seen.launches or ()))),
        _section("Last events", "\n".join(_event(one) for one in to_json((seen.events or ())[-EVENTS:]))),
        *(_section(f"Last lines of {name}", lines) for name, lines in attached.logs.items()),
        _section("Unit", json.dumps(to_json(seen.unit), indent=1)),
        _section("System", json.dumps(to_json(seen.system), indent=1)),
        _section(
            "Probe", json.dumps(to_json(anonymize_hardware(seen.hardware, attached.identifiers)), indent=1)
        ),
    ]
    return anonymize_text("\n\n".join(parts), attached.identifiers) + "\n"


def _section(title: str, content: str) -> str:
    fence = "````"  # an engine's own lines may hold three of them
    return f"## {title}\n\n{fence}\n{content or 'none'}\n{fence}"


def _finding(one: NamedFinding) -> str:
    lines = [f"{one.status.value:<9} {one.check}: {one.found}"]
    lines += [f"{'':<10}{label}: {words}" for label, words in (("why", one.why), ("fix", one.fix)) if words]
    return "\n".join(lines)


def _setting(name: str, value: object) -> str:
    return "<left out>" if SECRET_NAME.search(name) and value else json.dumps(value)


def _launch(one: Mapping[str, Any]) -> str:
    wanted = "wanted" if one["wanted"] else "not wanted"
    said = one["last_error"] or "no error"
    return f"{one['name']}: {one['state']}, {wanted}, {one['restarts']} restarts, {said}"


def _event(one: Mapping[str, Any]) -> str:
    return f"{one['at']} {one['kind']} {one['launch'] or '-'}: {one['message']}"


def _tail(path: Path) -> str:
    try:
        return text_of(path, LOG_LINES, LOG_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def system(root: Path) -> str:
    """The distribution, as it calls itself."""
    told = sysfs.read(root / "etc/os-release") or ""
    named = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    return named.get("PRETTY_NAME", "an unknown system").strip('"')
