"""Has the machine examined: by the daemon, or in a child of this command where none answers."""

import json
import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlencode

from config import paths
from ctl import autostart
from ctl import paths as where
from domain.errors import DaemonGoneError, NodeError, UsageError

TIMEOUT_S = 120.0
HEAD = "# node-daemon report"  # of a file that an earlier --report wrote
Found = list[dict[str, Any]]


def ask(*, check: str | None, hub: bool, report: bool) -> tuple[Found, str | None]:
    """The findings, and the text of the report where one is asked for. Raises: AnswerError, UsageError."""
    query: dict[str, object] = {"hub": str(hub).lower(), "caller": _caller()}
    if check is not None:
        query["check"] = check
    path = "/v1/doctor/report" if report else "/v1/doctor"
    try:
        answer = autostart.daemon_or_start().get(f"{path}?{urlencode(query)}", timeout_s=TIMEOUT_S)
    except DaemonGoneError as gone:
        answer = _without_daemon(gone, check=check, hub=hub, report=report)
        return answer["findings"], answer["text"]
    return (answer["findings"], answer["text"]) if report else (answer, None)


def _caller() -> int:
    """Who typed it: with sudo not root."""
    told = os.environ.get("SUDO_UID", "")
    return int(told) if told.isdecimal() else os.getuid()


def _without_daemon(gone: DaemonGoneError, *, check: str | None, hub: bool, report: bool) -> dict[str, Any]:
    argv = [sys.executable, "-m", "daemon.doctor.offline", "--silent", str(gone), "--hint", gone.hint]
    argv += ["--check", check] if check is not None else []
    argv += ["--hub"] if hub else []
    argv += ["--report"] if report else []
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", env=_environment())
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise NodeError(f"{gone}, and the machine can't be examined without it: {said[0]}") from error
    if "error" in answer:
        raise UsageError(answer["error"]["message"], hint=answer["error"]["hint"])
    return answer


def _environment() -> dict[str, str]:
    """The service's, where it is the service that doesn't answer: its settings and state are meant."""
    if where.named_socket() is None and autostart.system_unit() is not None:
        return {**os.environ, **paths.SERVICE_ENVIRONMENT}
    return autostart.absolute(os.environ)
