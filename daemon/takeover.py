"""Launches of one daemon for another: ``python -m daemon.takeover``, which node-ctl service install calls.

It prints JSON. Of the daemon it comes from nothing is written but what is taken out in the end.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import fallback
from daemon import instance_lock
from daemon.state.records import LaunchRecord, LaunchRequest, now
from daemon.state.store import Store, clone
from domain.anonymize import without_secrets
from domain.errors import NodeError
from domain.launches.launch import LaunchState
from domain.serialization import from_json, to_json

DATABASE = "state.db"
TAKEN = "another launch of that name is there"


def main(argv: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(argv)
    try:
        settings = fallback.load(None, {}).settings
        if given.what == "read":
            answer: dict[str, Any] = {
                "state_dir": str(settings.state_dir),
                "models_dir": str(settings.models_dir),
                **_read(settings.state_dir),
            }
        elif given.what == "add":
            answer = _add(settings.state_dir, json.load(sys.stdin))
        else:
            answer = _forget(settings.state_dir, json.load(sys.stdin))
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(answer))
    return 0


def _read(state_dir: Path) -> dict[str, Any]:
    """Launches, pinned weights and pulls, from a copy: opening the file would write beside it."""
    if not (state_dir / DATABASE).is_file():
        return {"launches": [], "pinned": [], "pulls": []}
    with clone(state_dir / DATABASE) as store:
        return {
            "launches": [
                {"request": to_json(record.request), "desired": record.desired}
                for record in store.launches.all()
            ],
            "pinned": [note.name for note in store.models.all().values() if note.pinned],
            "pulls": [without_secrets(record.request.model) for record in store.pulls.all()],
        }


def _add(state_dir: Path, body: dict[str, Any]) -> dict[str, Any]:
    """Stores launches, to be served from the next start on. One that is there already counts as taken."""
    taken, left = [], []
    with instance_lock.hold(state_dir), closing(Store(state_dir / DATABASE)) as store:
        for name in body["pinned"]:
            store.models.update(name, pinned=True)
        for launch in body["launches"]:
            request = from_json(LaunchRequest, launch["request"])
            existing = store.launches.get(request.name)
            if existing is not None and existing.request != request:
                left.append({"name": request.name, "why": TAKEN})
                continue
            if existing is None or (launch["desired"] and not existing.desired):
                store.launches.save(_record(request, existing, desired=launch["desired"]))
            taken.append(request.name)
    return {"taken": taken, "left": left}


def _record(request: LaunchRequest, existing: LaunchRecord | None, *, desired: bool) -> LaunchRecord:
    state = LaunchState.QUEUED if desired else LaunchState.STOPPED
    if existing is not None:
        return replace(existing, desired=desired, state=state)
    return LaunchRecord(request, desired=desired, state=state, since=now())


def _forget(state_dir: Path, names: list[str]) -> dict[str, Any]:
    with instance_lock.hold(state_dir), closing(Store(state_dir / DATABASE)) as store:
        for name in names:
            store.launches.forget(name)
    return {"forgotten": names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m daemon.takeover", description=__doc__)
    parser.add_argument("what", choices=("read", "add", "forget"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
