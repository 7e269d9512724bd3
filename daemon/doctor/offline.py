"""The doctor where no daemon answers: ``python -m daemon.doctor.offline`` prints JSON for node-ctl.

It looks as the user who typed the command, changes nothing, and takes no lock: the state is read from a copy.
"""

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from config import settings as config
from config.settings import Settings
from daemon.app import real_adapters, search_paths
from daemon.doctor import collect, report, service
from daemon.doctor.checks.finding import NamedFinding, Verdict
from daemon.doctor.checks.input import Daemon, DoctorInput, LaunchHealth
from daemon.state.records import Event, LaunchRecord, now
from daemon.state.store import Store
from domain.errors import ConfigError, NodeError, UsageError
from domain.serialization import to_json
from launchers.registry import LAUNCHERS
from probes import identifiers

State = tuple[tuple[LaunchHealth, ...] | None, tuple[Event, ...] | None]


def run(argv: Sequence[str] | None = None) -> int:
    given = _arguments().parse_args(argv)
    only = given.check
    try:
        if only is not None:
            service.known(only)
        settings = config.load()
    except ConfigError as error:
        found = NamedFinding(
            "daemon",
            Verdict.ERROR,
            f"{given.silent}: {error}",
            "it can't start",
            error.hint,
            service.recheck("daemon"),
        )
        return _print({"findings": to_json([found]), "text": _bare(found) if given.report else None})
    except UsageError as error:
        return _print({"error": {"message": str(error), "hint": error.hint}})
    seen = facts(settings, Daemon(given.silent, given.hint), ask_hub=given.hub or only == service.HUB)
    told = service.findings(seen, only)
    text = report.text(seen, told, report.read(settings, seen)) if given.report else None
    return _print({"findings": to_json(told), "text": text})


def _bare(found: NamedFinding) -> str:
    """A report where not even the settings can be read."""
    nothing = report.Attached({}, {}, report.system(Path("/")), identifiers.read_identifiers(Path("/")))
    return report.text(DoctorInput(now=now()), [found], nothing)


def facts(settings: Settings, daemon: Daemon, *, ask_hub: bool) -> DoctorInput:
    launches, events = state(settings.state_dir / "state.db")
    # what engines answer is not kept: in the state of a service it would belong to who looks
    beside = replace(search_paths(settings), cache_dir=None)
    engines = tuple(found for launcher in LAUNCHERS.values() for found in launcher.find(beside))
    seen = replace(real_adapters(settings).probe(), engines=engines)
    return collect.read(settings, seen, daemon, launches=launches, events=events, ask_hub=ask_hub)


def state(path: Path) -> State:
    """Launches and events of a copy of ``path``: opening it would make files that belong to this user.
    Nothing where there is none, not known where it can't be read."""
    with TemporaryDirectory(prefix="node-doctor-") as folder:
        try:
            if not path.exists():
                return (), ()
            for part in path.parent.glob(f"{path.name}*"):
                shutil.copy(part, folder)
            with closing(Store(Path(folder, path.name))) as store:
                launches = store.launches.all()
                return tuple(_watched(one) for one in launches), store.events.since()
        except (OSError, NodeError, sqlite3.Error):
            return None, None


def _watched(one: LaunchRecord) -> LaunchHealth:
    return LaunchHealth(one.request.name, one.state, one.desired, one.restarts, one.last_error)


def _print(answer: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(answer))
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m daemon.doctor.offline", description=__doc__)
    parser.add_argument("--silent", required=True, metavar="TEXT", help="why no daemon answers")
    parser.add_argument("--hint", default="", metavar="TEXT", help="what starts one")
    parser.add_argument("--check", metavar="NAME", help="one check alone")
    parser.add_argument("--hub", action="store_true", help="ask the hub, too")
    parser.add_argument("--report", action="store_true", help="with the text for a bug report")
    return parser


if __name__ == "__main__":
    sys.exit(run())
