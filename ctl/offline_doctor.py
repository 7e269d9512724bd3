"""Runs the doctor's checks: in the daemon, or in a child of this command where no daemon answers."""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlencode

from config.paths import SERVICE_ENVIRONMENT
from ctl import autostart, paths
from domain.errors import DaemonGoneError, NodeError, UsageError

TIMEOUT_S = 120.0
HEAD = "# node-daemon report"  # first line of a file that --report wrote
Findings = list[dict[str, Any]]


def examine(*, check: str | None, hub: bool, report: bool) -> tuple[Findings, str | None]:
    """The findings, and with ``report`` the text of the report. Raises: AnswerError, UsageError."""
    query: dict[str, object] = {"hub": str(hub).lower(), "caller": _caller()}
    if check is not None:
        query["check"] = check
    path = "/v1/doctor/report" if report else "/v1/doctor"
    try:
        answer = autostart.connect_or_start().get(f"{path}?{urlencode(query)}", timeout_s=TIMEOUT_S)
    except DaemonGoneError as gone:
        answer = _without_daemon(gone, check=check, hub=hub, report=report)
        return answer["findings"], answer["text"]
    return (answer["findings"], answer["text"]) if report else (answer, None)


def _caller() -> int:
    """The user id of the caller, with sudo that of the user who called it."""
    sudo_uid = os.environ.get("SUDO_UID", "")
    return int(sudo_uid) if sudo_uid.isdecimal() else os.getuid()


def _without_daemon(gone: DaemonGoneError, *, check: str | None, hub: bool, report: bool) -> dict[str, Any]:
    argv = [sys.executable, "-m", "daemon.doctor.offline", "--reason", str(gone), "--hint", gone.hint]
    argv += ["--check", check] if check is not None else []
    argv += ["--hub"] if hub else []
    argv += ["--report"] if report else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", env=_environment())
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        last_line = next(iter(done.stderr.strip().splitlines()[-1:]), "no output")
        raise NodeError(f"{gone}; the checks can't run without it: {last_line}") from error
    if "error" in answer:
        raise UsageError(answer["error"]["message"], hint=answer["error"]["hint"])
    return answer


def _environment() -> dict[str, str]:
    """That of the service, where it is the service that doesn't answer."""
    if paths.named_socket() is None and autostart.system_unit() is not None:
        return {**os.environ, **SERVICE_ENVIRONMENT}
    return autostart.absolute(os.environ)
