"""The doctor for when no daemon answers: ``python -m daemon.doctor.offline`` prints JSON for node-ctl.

It runs as the user who typed the command, changes nothing and takes no lock: the state is read from a copy.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import fallback
from config.loading import Loaded
from daemon.app import real_adapters, search_paths
from daemon.doctor import collect, report, service
from daemon.doctor.checks.finding import NamedFinding, Verdict
from daemon.doctor.checks.input import Daemon, DoctorInput, LaunchHealth
from daemon.state.records import Event, LaunchRecord, now
from daemon.state.store import clone
from domain.errors import ConfigError, NodeError, UsageError
from domain.serialization import to_json
from launchers.registry import LAUNCHERS
from probes import identifiers

State = tuple[tuple[LaunchHealth, ...] | None, tuple[Event, ...] | None]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    only = arguments.check
    try:
        if only is not None:
            service.require_check(only)
        loaded = fallback.load(None, {})
    except ConfigError as error:
        finding = NamedFinding(
            "daemon",
            Verdict.ERROR,
            f"{arguments.reason}: {error}",
            "the daemon can't start",
            error.hint,
            service.recheck_command("daemon"),
        )
        text = _report_without_settings(finding) if arguments.report else None
        return _print({"findings": to_json([finding]), "text": text})
    except UsageError as error:
        return _print({"error": {"message": str(error), "hint": error.hint}})
    daemon = Daemon(arguments.reason, arguments.hint)
    inputs = collect_inputs(loaded, daemon, ask_hub=arguments.hub or only == service.HUB)
    findings = service.run_checks(inputs, only)
    text = None
    if arguments.report:
        text = report.render(inputs, findings, report.read_attachments(loaded.settings, inputs))
    return _print({"findings": to_json(findings), "text": text})


def _report_without_settings(finding: NamedFinding) -> str:
    root = Path("/")
    attachments = report.Attachments({}, {}, report.distribution(root), identifiers.read_identifiers(root))
    return report.render(DoctorInput(now=now()), [finding], attachments)


def collect_inputs(loaded: Loaded, daemon: Daemon, *, ask_hub: bool) -> DoctorInput:
    settings = loaded.settings
    launches, events = read_state(settings.state_dir / "state.db")
    # engine queries are not cached: the files would belong to this user, in the state of a service
    paths = replace(search_paths(settings), cache_dir=None)
    engines = tuple(engine for launcher in LAUNCHERS.values() for engine in launcher.find(paths))
    hardware = replace(real_adapters(settings).probe(), engines=engines)
    return collect.collect_inputs(
        settings, hardware, daemon, launches=launches, events=events, loaded=loaded, ask_hub=ask_hub
    )


def read_state(path: Path) -> State:
    """Launches and events from a copy of ``path``: opening it would create files that belong to this user.
    Empty if there is no state, None if it cannot be read."""
    try:
        if not path.exists():
            return (), ()
        with clone(path) as store:
            recovered = store.database.recovered
            if recovered is not None and recovered.copied_at is None:
                return None, None
            launches = store.launches.all()
            return tuple(_launch_health(record) for record in launches), store.events.since()
    except (OSError, NodeError):
        return None, None


def _launch_health(record: LaunchRecord) -> LaunchHealth:
    return LaunchHealth(record.request.name, record.state, record.desired, record.restarts, record.last_error)


def _print(answer: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(answer))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m daemon.doctor.offline", description=__doc__)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why no daemon answers")
    parser.add_argument("--hint", default="", metavar="TEXT", help="how to start one")
    parser.add_argument("--check", metavar="NAME", help="run one check only")
    parser.add_argument("--hub", action="store_true", help="also check the hub")
    parser.add_argument("--report", action="store_true", help="include the text for a bug report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
