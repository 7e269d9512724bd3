"""Renders a bug report: one text with the findings and what explains them, anonymized."""

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
from daemon.doctor.checks.input import DoctorInput, LaunchHealth
from daemon.launches.log_tail import text_of
from daemon.state.records import Event
from daemon.status import VERSION
from domain.anonymize import Identifiers, anonymize_text
from domain.launches.launch import LaunchState
from domain.serialization import to_json
from launchers.environment import SECRET_NAME
from probes import identifiers, sysfs
from probes.system import systemd

EVENTS = 50
LOG_LINES = 60
LOG_BYTES = 64 * 1024  # of a log with long lines
HEAD = "# node-daemon report"


@dataclass(frozen=True, slots=True)
class Attachments:
    """What a report has beside the input of the checks: settings by name, the last lines of logs by file
    name, the distribution."""

    settings: Mapping[str, Any]
    logs: Mapping[str, str]
    distribution: str
    identifiers: Identifiers


def read_attachments(settings: Settings, inputs: DoctorInput) -> Attachments:
    """Blocks. The logs are those of launches that failed or are degraded, and the daemon's own."""
    paths = [settings.state_dir / "node-daemon.log"]
    unhealthy = (LaunchState.FAILED, LaunchState.DEGRADED)
    paths += [
        log_path(settings, launch.name) for launch in inputs.launches or () if launch.state in unhealthy
    ]
    logs = {path.name: text for path in paths if (text := _tail(path))}
    if inputs.unit is not None and (lines := systemd.read_journal(inputs.unit.name, LOG_LINES)):
        logs["the journal"] = lines
    return Attachments(
        settings=settings.model_dump(mode="json"),
        logs=logs,
        distribution=distribution(settings.sysroot),
        identifiers=identifiers.read_identifiers(settings.sysroot),
    )


def render(inputs: DoctorInput, findings: Sequence[NamedFinding], attachments: Attachments) -> str:
    """Markdown, ready to be pasted."""
    versions = f"node-daemon {VERSION}, Python {platform.python_version()}, {attachments.distribution}"
    settings = (f"{name} = {_setting(name, value)}" for name, value in attachments.settings.items())
    launches = (_launch(launch) for launch in inputs.launches or ())
    events = (_event(event) for event in (inputs.events or ())[-EVENTS:])
    hardware = anonymize_hardware(inputs.hardware, attachments.identifiers)
    parts = [
        f"{HEAD}\n\n{versions}, {inputs.now}",
        _section("Findings", "\n".join(_finding(finding) for finding in findings)),
        _section("Settings", "\n".join(settings)),
        _section("Launches", "\n".join(launches)),
        _section("Last events", "\n".join(events)),
        *(_section(f"Last lines of {name}", lines) for name, lines in attachments.logs.items()),
        _section("Unit", _json(inputs.unit)),
        _section("System", _json(inputs.system)),
        _section("Probe", _json(hardware)),
    ]
    return anonymize_text("\n\n".join(parts), attachments.identifiers) + "\n"


def _section(title: str, content: str) -> str:
    fence = "````"  # the output of an engine may contain three of them
    return f"## {title}\n\n{fence}\n{content or 'none'}\n{fence}"


def _json(value: object) -> str:
    return json.dumps(to_json(value), indent=1)


def _finding(finding: NamedFinding) -> str:
    lines = [f"{finding.status.value:<9} {finding.check}: {finding.found}"]
    details = (("why", finding.why), ("fix", finding.fix))
    lines += [f"{'':<10}{label}: {text}" for label, text in details if text]
    return "\n".join(lines)


def _setting(name: str, value: object) -> str:
    return "<left out>" if SECRET_NAME.search(name) and value else json.dumps(value)


def _launch(launch: LaunchHealth) -> str:
    desired = "desired" if launch.desired else "not desired"
    error = launch.last_error or "no error"
    return f"{launch.name}: {launch.state.value}, {desired}, {launch.restarts} restarts, {error}"


def _event(event: Event) -> str:
    return f"{event.at} {event.kind} {event.launch or '-'}: {event.message}"


def _tail(path: Path) -> str:
    try:
        return text_of(path, LOG_LINES, LOG_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def distribution(root: Path) -> str:
    """The name of the distribution."""
    text = sysfs.read(root / "etc/os-release") or ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values.get("PRETTY_NAME", "an unknown system").strip('"')
